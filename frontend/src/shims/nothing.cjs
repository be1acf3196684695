// Stands for modules that Autobahn JS loads and this page never uses.
function nothing() {
  return {};
}
nothing.Factory = function Factory() {};
nothing.EventEmitter = function EventEmitter() {};
module.exports = nothing;
