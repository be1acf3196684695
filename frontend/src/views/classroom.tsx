import { type Signal, useSignal } from "@preact/signals";

import { accountsAction } from "../actions.ts";
import { withLocalTimes } from "../calendar.ts";
import { countsOf, failureWords, type Groups, type Member, membersOf } from "../classroom.ts";
import { usePage } from "../page.ts";
import { addressOf } from "../pages.ts";
import type { FailureRecord } from "../records.ts";
import { count } from "../wording.ts";
import { usePast } from "./past.ts";
import { Elapsed } from "./small.tsx";

/** Milliseconds between two questions for failures and groups, and the seconds of failures that are shown. */
const REFRESH = 3000;
const LATELY = 900;

/** A class, for the wall: who has a board, who waits and for how long, what failed. It shows nothing that is secret. */
export function ClassPage() {
  const { live, navigation } = usePage();
  const chosen = navigation.chosen("of");
  const { past: groups } = usePast<Groups>("account_groups", {}, REFRESH);
  const { past: failures } = usePast<readonly FailureRecord[]>("recent_failures", { seconds: LATELY }, REFRESH);
  const selected = useSignal<ReadonlySet<string>>(new Set());
  const members = membersOf(live.farm.value, groups ?? {}, failures ?? [], chosen);
  return (
    <section class="classroom">
      <h1 tabIndex={-1}>{chosen === "" ? "All accounts" : chosen}</h1>
      <Choice chosen={chosen} groups={groups ?? {}} />
      <Summary members={members} />
      {live.operator.value && <Chosen members={members} selected={selected} />}
      {members.length === 0 ? (
        <p class="quiet">{chosen === "" ? "Nobody is here yet." : `No account is of ${chosen}, or begins so.`}</p>
      ) : (
        <ul class="members">
          {members.map((member) => (
            <MemberCard key={member.account} member={member} selected={live.operator.value ? selected : null} />
          ))}
        </ul>
      )}
    </section>
  );
}

/** Chooses a group, or accounts by the beginning of their names. */
function Choice({ chosen, groups }: { chosen: string; groups: Groups }) {
  const { navigation } = usePage();
  return (
    <label class="choice">
      Group, or beginning of accounts
      <input
        type="search"
        value={chosen}
        list="groups"
        placeholder="class-a"
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => navigation.choose({ of: event.currentTarget.value }, "same")}
      />
      <datalist id="groups">
        {[...new Set(Object.values(groups))].sort().map((group) => (
          <option key={group} value={group} />
        ))}
      </datalist>
    </label>
  );
}

function Summary({ members }: { members: readonly Member[] }) {
  const { holding, waiting, waitingSince, failing, members: all } = countsOf(members);
  return (
    <p class="summary">
      <strong>{holding}</strong> of {count(all, "account")} {holding === 1 ? "has" : "have"} boards ·{" "}
      <strong>{waiting}</strong> {waiting === 1 ? "waits" : "wait"}
      {waitingSince !== null && (
        <>
          , the longest for <Elapsed since={waitingSince} />
        </>
      )}{" "}
      · <strong>{failing}</strong> had a failure in the last 15 minutes
    </p>
  );
}

interface CardProps {
  member: Member;
  /** For operators: which accounts are chosen. */
  selected: Signal<ReadonlySet<string>> | null;
}

function MemberCard({ member: { account, boards, waiting, failure, failures }, selected }: CardProps) {
  const state = boards.length > 0 ? "holds" : waiting !== null ? "waits" : "idle";
  return (
    <li class={`member ${state}`}>
      <div class="name">
        {selected !== null && (
          <input
            type="checkbox"
            aria-label={`Select ${account}`}
            checked={selected.value.has(account)}
            onChange={(event) => {
              const next = new Set(selected.value);
              if (event.currentTarget.checked) next.add(account);
              else next.delete(account);
              selected.value = next;
            }}
          />
        )}
        <a href={addressOf("account", account)}>{account}</a>
      </div>
      {boards.length > 0 && (
        <div class="has">
          <span aria-hidden="true">●</span> {count(boards.length, "board")}
        </div>
      )}
      {waiting !== null && (
        <div class="waits" title={withLocalTimes(waiting.reason)}>
          <span aria-hidden="true">◷</span> waits for <Elapsed since={waiting.since} />, place {waiting.place}
        </div>
      )}
      {state === "idle" && <div class="quiet">no board</div>}
      {failure !== null && (
        <div class="failed">
          <span aria-hidden="true">✕</span> {failureWords(failure)}{" "}
          <small>
            <Elapsed since={failure.time} /> ago{failures > 1 && `, ${failures} failures`}
          </small>
        </div>
      )}
    </li>
  );
}

/** What an operator does with the accounts that are chosen. */
function Chosen({ members, selected }: { members: readonly Member[]; selected: Signal<ReadonlySet<string>> }) {
  const { live, operations } = usePage();
  const shown = members.map(({ account }) => account);
  const accounts = shown.filter((account) => selected.value.has(account));
  const busy = members.filter(({ account, boards, waiting }) => {
    return accounts.includes(account) && (boards.length > 0 || waiting !== null);
  });
  return (
    <div class="selection" role="toolbar" aria-label="Selected accounts">
      <strong>{count(accounts.length, "account")} selected</strong>
      <button type="button" onClick={() => (selected.value = new Set(shown))}>
        Select all
      </button>
      <button type="button" disabled={accounts.length === 0} onClick={() => (selected.value = new Set())}>
        Select none
      </button>
      <button
        type="button"
        class="danger"
        disabled={busy.length === 0 || !live.connected.value}
        onClick={() => operations.ask(accountsAction(busy))}
      >
        End all of {accounts.length === 1 ? accounts[0] : count(busy.length, "account")}
      </button>
    </div>
  );
}
