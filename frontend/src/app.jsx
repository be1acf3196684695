import { Component } from "preact";

import { ConfirmDialog } from "./views/confirm.jsx";
import { Banner, Header, Messages } from "./views/frame.jsx";
import { SignInDialog } from "./views/signin.jsx";
import { Tiles } from "./views/tiles.jsx";
import { BoardPage } from "./views/board.jsx";
import { BoardsPage } from "./views/boards.jsx";
import { EventsPage } from "./views/events.jsx";
import { PlotsPage } from "./views/plots.jsx";
import { QueuePage } from "./views/queue.jsx";
import { WorkersPage } from "./views/workers.jsx";
import { Live } from "./live.js";
import { parseRoute } from "./route.js";

/** Milliseconds that a message of success stays; one of failure stays until it is closed. */
const MESSAGE_TIME = 8000;

export class App extends Component {
  constructor(props) {
    super(props);
    this.live = new Live(() => this.forceUpdate());
    this.state = { route: parseRoute(window.location.hash), asked: null, signingIn: false, messages: [] };
    this.messageNumber = 0;
    this.navigate = () => this.setState({ route: parseRoute(window.location.hash) }, () => this._arrive());
    this.act = (action) => this.setState(this.live.operator ? { asked: action } : { signingIn: true });
  }

  componentDidMount() {
    window.addEventListener("hashchange", this.navigate);
    this.clock = setInterval(() => this.forceUpdate(), 1000);
    this.live.start();
  }

  componentWillUnmount() {
    window.removeEventListener("hashchange", this.navigate);
    clearInterval(this.clock);
    this.live.stop();
  }

  /** A page that was just opened is at its top, and its heading has the focus: screen readers say where one is. */
  _arrive() {
    window.scrollTo(0, 0);
    document.querySelector("main h1")?.focus({ preventScroll: true });
  }

  async _carryOut(action) {
    this.setState({ asked: null });
    try {
      await this.live.call(action.procedure, action.fields);
      this._say("done", action.done);
    } catch (error) {
      this._say("failed", `${action.about}: ${error.name}: ${error.message}`);
    }
  }

  _say(level, text) {
    const message = { level, text, number: ++this.messageNumber };
    this.setState(({ messages }) => ({ messages: [...messages.slice(-4), message] }));
    if (level === "done") setTimeout(() => this._unsay(message.number), MESSAGE_TIME);
  }

  _unsay(number) {
    this.setState(({ messages }) => ({ messages: messages.filter((message) => message.number !== number) }));
  }

  render(_, { route, asked, signingIn, messages }) {
    const { live } = this;
    const { live: connected, refused } = live.state;
    const view = { farm: live.farm, now: live.now(), connected, operator: live.operator, act: this.act, live };
    return (
      <div class={connected ? "page" : "page stale"}>
        <a class="skip" href="#main" onClick={(event) => skip(event)}>
          Skip to content
        </a>
        <Header live={live} route={route} signIn={() => this.setState({ signingIn: true })} />
        <Banner state={live.state} known={live.farm.known} />
        <main id="main">
          {refused !== null && !live.farm.known ? (
            <section class="empty">
              <h1 tabIndex={-1}>Sign in</h1>
              <p>This farm asks for a token: {refused.message}</p>
              <button type="button" class="primary" onClick={() => this.setState({ signingIn: true })}>
                Sign in with a token
              </button>
            </section>
          ) : (
            <Content route={route} view={view} />
          )}
        </main>
        <Messages messages={messages} close={(number) => this._unsay(number)} />
        {asked !== null && (
          <ConfirmDialog
            action={asked}
            connected={connected}
            confirm={() => this._carryOut(asked)}
            cancel={() => this.setState({ asked: null })}
          />
        )}
        {signingIn && <SignInDialog live={live} close={() => this.setState({ signingIn: false })} />}
      </div>
    );
  }
}

function skip(event) {
  event.preventDefault();
  document.querySelector("main h1")?.focus();
}

function Content({ route, view }) {
  if (!view.farm.known) return <h1 tabIndex={-1} class="quiet">Asking the farm …</h1>;
  switch (route.page) {
    case "board":
      return <BoardPage key={route.name} serial={route.name} {...view} />;
    case "workers":
      return <WorkersPage {...view} />;
    case "queue":
      return <QueuePage {...view} />;
    case "events":
      return <EventsPage {...view} />;
    case "plots":
      return <PlotsPage {...view} />;
    default:
      return (
        <>
          <Tiles farm={view.farm} now={view.now} />
          <BoardsPage {...view} />
        </>
      );
  }
}
