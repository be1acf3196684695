import { useSignal } from "@preact/signals";

import { bookingActions } from "../actions.ts";
import {
  type Block,
  blocksOf,
  type Day,
  dateOf,
  inputTime,
  momentOf,
  nextHour,
  timeAt,
  weekOf,
  weeksOn,
  withLocalTimes,
  zoneAt,
} from "../calendar.ts";
import { farmError } from "../link.ts";
import { usePage } from "../page.ts";
import type { BookingRecord } from "../records.ts";
import { count, dateAndTime, duration } from "../wording.ts";
import { AccountLink, Actions } from "./small.tsx";

const HOURS = Array.from({ length: 12 }, (_, index) => 2 * index);
const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/** The week's bookings; users who have signed in can book and cancel. */
export function BookingsPage() {
  const { live, navigation } = usePage();
  const now = live.clock.value + live.farm.value.ahead;
  const week = weekOf(navigation.chosen("week"), now);
  const start = useSignal("");
  const choose = (weeks: number) => navigation.choose({ week: weeks === 0 ? "" : weeksOn(week, weeks) }, "step");
  const bookings = [...live.bookings.value.values()];
  return (
    <section class="bookings">
      <h1 tabIndex={-1}>Bookings</h1>
      <div class="week" role="toolbar" aria-label="Week">
        <button type="button" onClick={() => choose(-1)}>
          ‹ Week before
        </button>
        <button type="button" onClick={() => choose(0)}>
          This week
        </button>
        <button type="button" onClick={() => choose(1)}>
          Week after ›
        </button>
        <span>
          {week[0]?.date} to {week[6]?.date}, times in {zoneAt(week[0]?.begins ?? now)}
        </span>
      </div>
      <div class="calendar">
        <div class="hours" aria-hidden="true">
          {HOURS.map((hour) => (
            <span key={hour}>{`${String(hour).padStart(2, "0")}:00`}</span>
          ))}
        </div>
        {week.map((day, index) => (
          <DayColumn
            key={day.date}
            day={day}
            name={WEEKDAYS[index] ?? ""}
            today={day.date === dateOf(now)}
            blocks={blocksOf(day, bookings)}
            pick={(seconds) => {
              start.value = inputTime(seconds);
            }}
          />
        ))}
      </div>
      {live.operator.value || live.account.value !== "" ? (
        <BookingForm start={start.value || inputTime(nextHour(now))} setStart={(text) => (start.value = text)} />
      ) : (
        <p class="quiet">Sign in to book boards for your account.</p>
      )}
      <h2>What is booked</h2>
      <BookingList bookings={bookings} />
    </section>
  );
}

interface DayProps {
  day: Day;
  name: string;
  today: boolean;
  blocks: readonly Block[];
  pick: (seconds: number) => void;
}

/** A day: a click chooses the hour for a new booking. Without a mouse, the form does the same. */
function DayColumn({ day, name, today, blocks, pick }: DayProps) {
  const chooseHour = (event: MouseEvent) => {
    const place = (event.currentTarget as HTMLElement).getBoundingClientRect();
    pick(timeAt(day, (event.clientY - place.top) / place.height));
  };
  return (
    <div class={today ? "day today" : "day"}>
      <div class="date">
        {name} {day.date.slice(8)}
      </div>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: a shortcut with the mouse; the form takes the same time */}
      {/* biome-ignore lint/a11y/useKeyWithClickEvents: the form takes the same time from the keyboard */}
      <div class="slots" onClick={chooseHour}>
        {blocks.map((block) => (
          <BookingBlock key={block.booking.id} block={block} />
        ))}
      </div>
    </div>
  );
}

function BookingBlock({ block: { booking, top, height, lane, lanes } }: { block: Block }) {
  const { live, operations } = usePage();
  const [cancel] = bookingActions(booking, live.operator.value, live.account.value);
  const place = {
    top: `${100 * top}%`,
    height: `${100 * height}%`,
    left: `${(100 * lane) / lanes}%`,
    width: `${100 / lanes}%`,
  };
  return (
    <button
      type="button"
      class={cancel === undefined ? "booking" : "booking own"}
      style={place}
      title={wordsOf(booking)}
      disabled={cancel === undefined || !live.connected.value}
      onClick={(event) => {
        event.stopPropagation();
        if (cancel !== undefined) operations.ask(cancel);
      }}
    >
      <strong>{booking.account}</strong> {count(booking.amount, "board")}
    </button>
  );
}

function wordsOf({ account, amount, serials, kind, where, starts_at, ends_at, kept }: BookingRecord): string {
  const some = serials.length > 0 ? serials.join(", ") : count(amount, "board");
  const what = [some, kind ? `of kind ${kind}` : "", where ? `where ${where}` : ""].filter(Boolean).join(" ");
  const released = kept < amount ? `, of which ${kept} ${kept === 1 ? "is" : "are"} still kept` : "";
  const begins = dateAndTime(starts_at).slice(0, -3);
  return `${what} for ${account}, ${begins}, ${duration(ends_at - starts_at)}${released}`;
}

function BookingList({ bookings }: { bookings: readonly BookingRecord[] }) {
  const { live } = usePage();
  if (bookings.length === 0) return <p class="quiet">Nothing is booked.</p>;
  const sorted = bookings.toSorted((one, other) => one.starts_at - other.starts_at);
  return (
    <ul class="booked">
      {sorted.map((booking) => (
        <li key={booking.id}>
          <span>
            <AccountLink name={booking.account} />: {wordsOf(booking)}; booked by {booking.booked_by}
          </span>
          <Actions actions={bookingActions(booking, live.operator.value, live.account.value)} />
        </li>
      ))}
    </ul>
  );
}

/** Books boards: an operator for any account, an account for itself. */
function BookingForm({ start, setStart }: { start: string; setStart: (text: string) => void }) {
  const { live, operations } = usePage();
  const problem = useSignal("");
  const book = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const moment = momentOf(start);
    if ("problem" in moment) {
      problem.value = moment.problem;
      return;
    }
    problem.value = "";
    const textOf = (name: string) => String(form.get(name) ?? "").trim() || null;
    const fields = {
      starts_at: moment.seconds,
      seconds: Number(form.get("hours")) * 3600,
      amount: Number(form.get("amount")),
      account: textOf("account"),
      kind: textOf("kind"),
      where: textOf("where"),
    };
    try {
      const made = await live.call<BookingRecord>("book", fields);
      operations.say("done", `Booked: ${wordsOf(made)}.`);
    } catch (failure) {
      problem.value = withLocalTimes(farmError(failure).message);
    }
  };
  return (
    <form class="book" aria-label="Book boards" onSubmit={book}>
      <label>
        Boards <input name="amount" type="number" min="1" max="10000" defaultValue="1" required />
      </label>
      <label>
        From{" "}
        <input
          name="start"
          type="datetime-local"
          value={start}
          required
          onInput={(event) => setStart(event.currentTarget.value)}
        />
      </label>
      <label>
        Hours <input name="hours" type="number" min="0.25" max="720" step="0.25" defaultValue="2" required />
      </label>
      <label>
        Kind <input name="kind" maxLength={100} list="kinds" placeholder="any" spellcheck={false} autocomplete="off" />
      </label>
      <datalist id="kinds">
        {[...new Set([...live.workers.value.values()].flatMap(({ kinds }) => kinds))].sort().map((kind) => (
          <option key={kind} value={kind} />
        ))}
      </datalist>
      <label>
        Where{" "}
        <input
          name="where"
          maxLength={1000}
          placeholder="lab=3 and healthy"
          title="Only boards that this selects"
          spellcheck={false}
          autocomplete="off"
        />
      </label>
      {live.operator.value && (
        <label>
          For account or group <input name="account" maxLength={100} placeholder="class-a" spellcheck={false} />
        </label>
      )}
      <button type="submit" disabled={!live.connected.value}>
        Book
      </button>
      <span class="problem" role="alert">
        {problem.value}
      </span>
    </form>
  );
}
