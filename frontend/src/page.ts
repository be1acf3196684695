// What every view may use: the live farm, the navigation, the reader's operations.

import { createContext } from "preact";
import { useContext } from "preact/hooks";

import { IssuerSignIn } from "./issuer.ts";
import { farmError } from "./link.ts";
import { Live } from "./live.ts";
import { Navigation } from "./navigation.ts";
import { Operations } from "./operations.ts";

export class Page {
  readonly live: Live;
  readonly navigation: Navigation;
  readonly operations: Operations;
  readonly issuer: IssuerSignIn;

  constructor(live = new Live()) {
    this.live = live;
    this.navigation = new Navigation();
    this.operations = new Operations(this.live);
    this.issuer = new IssuerSignIn(this.live);
  }

  start(): void {
    this.navigation.start();
    this.live.start();
    this.issuer.start().catch((failure) => {
      this.operations.say("failed", `Signing in: ${farmError(failure).message}`);
    });
  }

  /** Forget the reader's token, and those of the issuer. */
  signOut(): void {
    this.issuer.forget();
    this.live.signOut();
  }
}

export const PageContext = createContext<Page | null>(null);

/** The page that a view is part of. */
export function usePage(): Page {
  const page = useContext(PageContext);
  if (page === null) throw new Error("a view is drawn outside of a page");
  return page;
}
