import { type Page, PageContext, usePage } from "./page.ts";
import { BoardPage } from "./views/board.tsx";
import { BoardsPage } from "./views/boards.tsx";
import { BookingsPage } from "./views/calendar.tsx";
import { ClassPage } from "./views/classroom.tsx";
import { ComparePage } from "./views/compare.tsx";
import { ConfirmDialog } from "./views/confirm.tsx";
import { EventsPage } from "./views/events.tsx";
import { ExperimentPage } from "./views/experiment.tsx";
import { ExperimentsPage } from "./views/experiments.tsx";
import { Banner, Header, Messages } from "./views/frame.tsx";
import { PlotsPage } from "./views/plots.tsx";
import { QueuePage } from "./views/queue.tsx";
import { SignInDialog, SignInPage } from "./views/signin.tsx";
import { AccountPage, ClientPage, WorkerPage } from "./views/things.tsx";
import { Tiles } from "./views/tiles.tsx";
import { UnknownPage } from "./views/unknown.tsx";
import { UsagePage } from "./views/usage.tsx";
import { WorkersPage } from "./views/workers.tsx";

/** The whole page. */
export function App({ page }: { page: Page }) {
  return (
    <PageContext.Provider value={page}>
      <Frame />
    </PageContext.Provider>
  );
}

function Frame() {
  const { live, operations } = usePage();
  return (
    <div class={live.connected.value ? "page" : "page stale"}>
      {/* biome-ignore lint/a11y/useValidAnchor: a link to this page's content; the address behind '#' is the view's */}
      <a class="skip" href="#main" onClick={skip}>
        Skip to content
      </a>
      <Header />
      <Banner />
      <main id="main">
        <Content />
      </main>
      <Messages />
      {operations.asked.value !== null && <ConfirmDialog action={operations.asked.value} />}
      {operations.signingIn.value && <SignInDialog />}
    </div>
  );
}

function skip(event: Event) {
  event.preventDefault();
  document.querySelector<HTMLElement>("main h1")?.focus();
}

function Content() {
  const { live, navigation } = usePage();
  const { page, name } = navigation.address.value;
  if (!live.known.value) {
    const { refused } = live.link.value;
    if (refused !== null) return <SignInPage refused={refused} />;
    return (
      <h1 tabIndex={-1} class="quiet">
        Asking the farm …
      </h1>
    );
  }
  switch (page) {
    case "boards":
      return (
        <>
          <Tiles />
          <BoardsPage />
        </>
      );
    case "compare":
      return <ComparePage />;
    case "board":
      return <BoardPage key={name} serial={name ?? ""} />;
    case "workers":
      return <WorkersPage />;
    case "worker":
      return <WorkerPage key={name} name={name ?? ""} />;
    case "client":
      return <ClientPage key={name} name={name ?? ""} />;
    case "account":
      return <AccountPage key={name} name={name ?? ""} />;
    case "experiments":
      return <ExperimentsPage />;
    case "experiment":
      return <ExperimentPage key={name} whole={name ?? ""} />;
    case "usage":
      return <UsagePage />;
    case "bookings":
      return <BookingsPage />;
    case "class":
      return <ClassPage />;
    case "queue":
      return <QueuePage />;
    case "events":
      return <EventsPage />;
    case "plots":
      return <PlotsPage />;
    default:
      return <UnknownPage name={name ?? ""} />;
  }
}
