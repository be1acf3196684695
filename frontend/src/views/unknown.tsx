import { addressOf, PAGES } from "../pages.ts";

/** What an address that no page has leads to. */
export function UnknownPage({ name }: { name: string }) {
  return (
    <section class="empty">
      <h1 tabIndex={-1}>There is no such page</h1>
      <p>
        The address ends in <code>{name}</code>, and no page has that name. Perhaps the link is incomplete. There are:
      </p>
      <ul>
        {PAGES.map(({ page, label }) => (
          <li key={page}>
            <a href={addressOf(page)}>{label}</a>
          </li>
        ))}
      </ul>
    </section>
  );
}
