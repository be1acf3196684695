import { render } from "preact";

import { App } from "./app.tsx";
import { Page } from "./page.ts";

import "uplot/dist/uPlot.min.css";
import "./style.css";

const root = document.getElementById("page");
if (root === null) throw new Error("index.html has no place for the page");
const page = new Page();
render(<App page={page} />, root);
page.start();
