// The way to the router: Autobahn JS over the WebSocket of the page's own address.

import autobahn from "autobahn";

const REALM = "icefarm";

/** The WebSocket's URL for a page at `location`. */
export function routerUrl(location) {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
}

/** `connect` for a `Link`. */
export function connector(url) {
  return ({ name, role, instance, ticket }, opened, closed) => {
    let over = false;
    const connection = new autobahn.Connection({
      url,
      realm: REALM,
      authid: name,
      authmethods: ["ticket"],
      authextra: { role, instance },
      onchallenge: () => ticket,
      max_retries: 0,
      use_es6_promises: true,
      serializers: [new autobahn.serializer.JSONSerializer()],
      on_internal_error: () => {},
    });
    connection.onopen = (session) => {
      if (over) connection.close();
      else opened(withFields(session));
    };
    connection.onclose = (_, details) => {
      if (!over) {
        over = true;
        closed(details.reason, details.message);
      }
      return true;
    };
    connection.open();
    return () => {
      over = true;
      try {
        connection.close();
      } catch {
        // Autobahn JS throws where it has closed already.
      }
    };
  };
}

/** Answers of control are single values, not Autobahn's results. */
function withFields(session) {
  return {
    call: (procedure, args, fields) => session.call(procedure, args, fields),
    subscribe: (topic, handler, options) =>
      session.subscribe(topic, (args, fields, details) => handler(args, fields, details), options),
  };
}
