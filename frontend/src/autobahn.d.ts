// The part of Autobahn JS that the page uses.
declare module "autobahn" {
  interface ConnectionOptions {
    url: string;
    realm: string;
    authid: string;
    authmethods: string[];
    authextra: Record<string, unknown>;
    onchallenge: () => string;
    max_retries: number;
    use_es6_promises: boolean;
    serializers: unknown[];
    on_internal_error: () => void;
  }
  interface Session {
    call(procedure: string, args: unknown[], fields: Record<string, unknown>): Promise<unknown>;
    subscribe(
      topic: string,
      handler: (args: unknown[], fields: unknown, details: { topic: string }) => void,
      options: Record<string, unknown>,
    ): Promise<unknown>;
  }
  class Connection {
    constructor(options: ConnectionOptions);
    onopen: (session: Session, details: { authid?: string | null }) => void;
    onclose: (reason: string, details: { reason: string | null; message: string | null }) => boolean;
    open(): void;
    close(): void;
  }
  class JSONSerializer {}
  const autobahn: { Connection: typeof Connection; serializer: { JSONSerializer: typeof JSONSerializer } };

  export type { Session };
  export default autobahn;
}
