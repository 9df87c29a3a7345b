/* The log of a task: opens near its end, reads what is new from a byte on, and what is earlier when asked to. */

import { Lines } from "./log_lines.js";

const pause = 1000;
const slowPause = 3000;
const errorPause = 5000;
/* A longer log is not read from its beginning. */
const opening = 1024 * 1024;
/* So much of a log that is read from byte 0 is kept as text; what is longer would only take memory. */
const longestText = 8 * 1024 * 1024;

const number = (value) => value.toLocaleString("en");
const lineCount = (count) => (count === 1 ? "1 line" : `${number(count)} lines`);

function newDecoder() {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}

class Log {
  constructor(panel) {
    this.panel = panel;
    this.box = panel.querySelector("[data-lines]");
    this.count = panel.querySelector("[data-count]");
    this.state = panel.querySelector("[data-state]");
    this.search = panel.querySelector("[data-search]");
    this.followButton = panel.querySelector("[data-follow]");
    this.earlierBar = panel.querySelector("[data-earlier-bar]");
    this.earlierButton = panel.querySelector("[data-earlier]");
    this.earlierNote = panel.querySelector("[data-earlier-note]");
    this.stream = "stdout.txt";
    this.isFollowing = true;
    this.lines = new Lines(this.box);
    panel.addEventListener("click", (event) => this.click(event));
    this.box.addEventListener("scroll", () => this.scrolled());
    this.search.addEventListener("input", () => this.find());
    /* Fonts that arrive and windows that are turned change what the end is. */
    new ResizeObserver(() => this.follow(this.isFollowing)).observe(this.box);
    /* So does the panel's coming into view, since rows out of sight have a guessed height. */
    new IntersectionObserver(() => this.follow(this.isFollowing), { threshold: [0, 0.1, 0.5, 1] }).observe(this.box);
    this.begin();
  }

  /* Start anew: another stream, or another try that began its own file. */
  begin() {
    clearTimeout(this.timer);
    this.offset = null;
    this.size = 0;
    this.top = 0;
    this.attempt = null;
    this.decoder = newDecoder();
    this.lines.begin();
    this.setLoading(false);
    /* The log as it was received; null when it is not here from its beginning on. */
    this.box.rawText = "";
    this.run = Symbol(this.stream);
    this.showEarlier();
    this.poll();
  }

  get address() {
    return this.panel.dataset.address.replace(/[^/]+\/$/, `${this.stream}/`);
  }

  async poll() {
    const run = this.run;
    let wait = errorPause;
    try {
      if (document.hidden || !this.panel.isConnected) wait = slowPause;
      else wait = await this.read(run);
    } catch {
      this.say("The server does not answer; trying again.");
    }
    if (this.run !== run || wait === null || !document.contains(this.panel)) return;
    this.timer = setTimeout(() => this.poll(), wait);
  }

  /* Ask for a part; undefined when what comes is not for this run of the log. */
  async fetch(query, run) {
    const answer = await fetch(`${this.address}?${query}`, { headers: { Accept: "text/plain" }, cache: "no-store" });
    if (answer.redirected) {
      location.reload();
      return undefined;
    }
    const bytes = answer.status === 200 ? new Uint8Array(await answer.arrayBuffer()) : new Uint8Array();
    const problem = answer.ok ? "" : await this.problem(answer);
    if (this.run !== run) return undefined;
    if (problem) this.say(problem);
    const attempt = answer.headers.get("X-Log-Attempt");
    if (this.attempt !== null && attempt !== null && attempt !== this.attempt) {
      this.begin();
      return undefined;
    }
    this.attempt = attempt ?? this.attempt;
    return { answer, bytes, header: (name) => answer.headers.get(`X-Log-${name}`) };
  }

  async problem(answer) {
    return answer.status === 503 ? await answer.text() : `The log cannot be read (${answer.status}).`;
  }

  /* Read once; returns how long to wait, or null when no more will come. */
  async read(run) {
    const found = await this.fetch(this.offset === null ? `tail=${opening}` : `offset=${this.offset}`, run);
    if (!found) return null;
    const { answer, bytes, header } = found;
    if (!answer.ok) return answer.status === 503 ? 1000 * Number(answer.headers.get("Retry-After") ?? 5) : null;
    if (bytes.length) this.append(bytes, Number(header("Start")), Number(header("Offset")));
    this.size = Math.max(this.size, Number(header("Size")), this.offset);
    const isEnd = header("End") === "1";
    this.tell(isEnd, header("Note"), header("Source"));
    if (isEnd) return null;
    if (header("More") === "1") return 0;
    return bytes.length || this.offset === null ? pause : slowPause / 2;
  }

  append(bytes, start, offset) {
    const text = this.decoder.decode(bytes, { stream: true });
    if (this.offset === null && start > 0) this.box.rawText = null;
    if (this.box.rawText !== null) this.box.rawText = this.box.rawText.length < longestText ? this.box.rawText + text : null;
    this.offset = offset;
    this.lines.append(text, bytes, start);
    this.sayFound();
    if (this.isFollowing) this.toEnd();
  }

  /* Read the part before the first row, and leave what is being read where it is. */
  async loadEarlier() {
    if (this.isLoading || !this.lines.canLoad) return;
    this.setLoading(true);
    const run = this.run;
    try {
      const found = await this.fetch(`before=${this.lines.start}`, run);
      if (found?.bytes.length) {
        const restore = this.lines.place();
        this.lines.prepend(newDecoder().decode(found.bytes), found.bytes, Number(found.header("Start")));
        this.sayFound();
        this.settle(restore);
      } else if (found?.answer.ok) this.say("Earlier output is not there any more.");
    } catch {
      this.say("The server does not answer; try again.");
    }
    if (this.run !== run) return;
    this.setLoading(false);
    this.tellCount();
  }

  setLoading(isLoading) {
    this.isLoading = isLoading;
    /* Rows that are let go meanwhile would leave a gap. */
    this.lines.isHeld = isLoading;
    this.earlierButton.setAttribute("aria-disabled", String(isLoading));
  }

  get isAtEnd() {
    return this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 24;
  }

  /* Rows get their real height only once they are shown, so the end moves while it is reached. */
  toEnd(frames = 12) {
    this.box.scrollTop = this.box.scrollHeight;
    requestAnimationFrame(() => {
      if (frames && this.isFollowing) this.toEnd(frames - 1);
    });
  }

  /* For the same reason a place moves while it is come back to. */
  settle(restore, frames = 3) {
    if (this.isFollowing) {
      this.toEnd();
      return;
    }
    restore();
    this.top = this.box.scrollTop;
    requestAnimationFrame(() => {
      if (frames) this.settle(restore, frames - 1);
    });
  }

  find() {
    const place = this.lines.find(this.search.value);
    this.sayFound();
    if (this.isFollowing) place?.scrollIntoView({ block: "nearest" });
  }

  sayFound() {
    const among = this.lines.isWhole ? "" : " of those shown";
    this.search.title = this.lines.wanted ? `${lineCount(this.lines.found)}${among}` : "";
  }

  tell(isEnd, note, source) {
    this.source = source;
    if (this.offset === null) this.count.textContent = note || (isEnd ? "no output" : "waiting for output");
    else this.tellCount();
    this.say(isEnd ? "complete" : this.offset === null ? "" : "streaming");
  }

  tellCount() {
    const { count, shown, isWhole } = this.lines;
    const parts = count === null ? [] : [lineCount(count)];
    parts.push(`${number(this.size)} bytes`);
    if (!isWhole) parts.push(shown === 1 ? "the last line is shown" : `the last ${number(shown)} lines are shown`);
    if (this.source === "storage") parts.push("from storage");
    this.count.textContent = parts.join(", ");
    this.showEarlier();
  }

  showEarlier() {
    const { canLoad, count, isCut, isWhole, start } = this.lines;
    this.box.classList.toggle("unnumbered", count === null);
    if (isWhole && this.earlierBar.contains(document.activeElement)) this.box.focus({ preventScroll: true });
    this.earlierBar.hidden = isWhole;
    this.earlierButton.hidden = !canLoad;
    const where = isCut ? "Shown from within a long line on" : `Shown from byte ${number(start ?? 0)} on`;
    const rest = this.panel.querySelector("[data-download]") ? "earlier output is in the download" : "earlier output is on the node";
    this.earlierNote.textContent = canLoad ? where : `${where}; ${rest}`;
  }

  say(text) {
    if (this.state.textContent !== text) this.state.textContent = text;
  }

  scrolled() {
    /* Only somebody who scrolls up stops following; new lines below do not. */
    const isUpwards = this.box.scrollTop < this.top - 4;
    this.top = this.box.scrollTop;
    if (this.isFollowing && isUpwards && !this.isAtEnd) this.follow(false);
  }

  follow(isFollowing) {
    this.isFollowing = isFollowing;
    this.followButton.setAttribute("aria-pressed", String(isFollowing));
    if (isFollowing) this.toEnd();
  }

  click(event) {
    const button = event.target.closest("button");
    if (!button) return;
    if ("earlier" in button.dataset) this.loadEarlier();
    if ("follow" in button.dataset) this.follow(!this.isFollowing);
    if ("wrap" in button.dataset) {
      const isWrapped = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(isWrapped));
      this.box.classList.toggle("nowrap", !isWrapped);
    }
    if (button.dataset.stream && button.dataset.stream !== this.stream) this.choose(button);
  }

  choose(button) {
    this.stream = button.dataset.stream;
    for (const other of this.panel.querySelectorAll("[data-stream]")) other.setAttribute("aria-pressed", String(other === button));
    this.box.setAttribute("aria-label", `${button.textContent} of the task`);
    const download = this.panel.querySelector("[data-download]");
    if (download) download.href = download.href.replace(/[^/]+$/, this.stream);
    this.begin();
  }
}

const begun = new WeakSet();

/* A panel may arrive with a later poll, when the job gets its first task. */
function begin() {
  for (const panel of document.querySelectorAll("[data-log]")) {
    if (begun.has(panel)) continue;
    begun.add(panel);
    new Log(panel);
  }
}

document.addEventListener("htmx:after:swap", begin);
begin();
