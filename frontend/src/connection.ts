// A WebSocket connection to the farm's router: Autobahn JS, at the page's own address.

import autobahn, { type Session } from "autobahn";

import type { Credentials } from "./credentials.ts";
import type { Connect } from "./link.ts";

const REALM = "icefarm";

/** Open connections to the router at `url`. */
export function connector(url: string): Connect {
  return ({ name, role, instance, ticket }: Credentials, opened, closed) => {
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
    connection.onopen = (session: Session, details) => {
      if (over) connection.close();
      else opened(session, details.authid ?? name);
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
