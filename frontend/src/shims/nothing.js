// Stands for modules that Autobahn JS loads and this page never uses.
export class Factory {}
export const EventEmitter = Object;
export default {};
