/* The log of a task: reads bytes from an offset on, appends what is new, follows the end while asked to. */

import { AnsiUp } from "./vendor/ansi_up.js";

const pause = 1000;
const slowPause = 3000;
const errorPause = 5000;
/* More lines than this make a browser slow; earlier ones are in the download. */
const mostLines = 10000;

class Log {
  constructor(panel) {
    this.panel = panel;
    this.lines = panel.querySelector("[data-lines]");
    this.count = panel.querySelector("[data-count]");
    this.state = panel.querySelector("[data-state]");
    this.search = panel.querySelector("[data-search]");
    this.followButton = panel.querySelector("[data-follow]");
    this.stream = "stdout.txt";
    this.isFollowing = true;
    this.lines.rawText = "";
    panel.addEventListener("click", (event) => this.click(event));
    this.lines.addEventListener("scroll", () => this.scrolled());
    this.search.addEventListener("input", () => this.mark());
    /* Fonts that arrive and windows that are turned change what the end is. */
    new ResizeObserver(() => this.follow(this.isFollowing)).observe(this.lines);
    /* So does the panel's coming into view, since rows out of sight have a guessed height. */
    new IntersectionObserver(() => this.follow(this.isFollowing), { threshold: [0, 0.1, 0.5, 1] }).observe(this.lines);
    this.begin();
  }

  /* Start anew: another stream, or another try that began its own file. */
  begin() {
    clearTimeout(this.timer);
    this.offset = 0;
    this.top = 0;
    this.attempt = null;
    this.number = 0;
    this.pending = "";
    this.pendingRow = null;
    this.decoder = new TextDecoder("utf-8");
    this.ansi = new AnsiUp();
    this.ansi.use_classes = true;
    this.lines.rawText = "";
    this.lines.replaceChildren();
    this.run = Symbol(this.stream);
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

  /* Read once; returns how long to wait, or null when no more will come. */
  async read(run) {
    const answer = await fetch(`${this.address}?offset=${this.offset}`, { headers: { Accept: "text/plain" }, cache: "no-store" });
    if (answer.redirected) {
      location.reload();
      return null;
    }
    if (!answer.ok) {
      this.say(answer.status === 503 ? await answer.text() : `The log cannot be read (${answer.status}).`);
      return answer.status === 503 ? 1000 * Number(answer.headers.get("Retry-After") ?? 5) : null;
    }
    const bytes = answer.status === 204 ? new ArrayBuffer(0) : await answer.arrayBuffer();
    if (this.run !== run) return null;
    const attempt = answer.headers.get("X-Log-Attempt");
    if (this.attempt !== null && attempt !== null && attempt !== this.attempt) {
      this.begin();
      return null;
    }
    this.attempt = attempt ?? this.attempt;
    if (bytes.byteLength) {
      this.offset = Number(answer.headers.get("X-Log-Offset"));
      this.append(this.decoder.decode(bytes, { stream: true }));
    }
    const isEnd = answer.headers.get("X-Log-End") === "1";
    const note = answer.headers.get("X-Log-Note");
    this.tell(isEnd, note, answer.headers.get("X-Log-Source"));
    if (isEnd) return null;
    return bytes.byteLength || this.offset === 0 ? pause : slowPause / 2;
  }

  append(text) {
    this.lines.rawText += text;
    const parts = (this.pending + text).split("\n");
    this.pending = parts.pop();
    const fresh = document.createDocumentFragment();
    for (const part of parts) {
      this.write(this.pendingRow ?? this.row(fresh), part);
      this.pendingRow = null;
    }
    if (this.pending) {
      this.pendingRow ??= this.row(fresh);
      this.write(this.pendingRow, this.pending);
    }
    this.lines.append(fresh);
    this.trim();
    this.mark();
    if (this.isFollowing) this.toEnd();
  }

  trim() {
    const surplus = this.lines.childElementCount - mostLines;
    if (surplus <= 0) return;
    const range = document.createRange();
    range.setStartBefore(this.lines.firstChild);
    range.setEndAfter(this.lines.children[surplus - 1]);
    range.deleteContents();
  }

  get isAtEnd() {
    return this.lines.scrollHeight - this.lines.scrollTop - this.lines.clientHeight < 24;
  }

  /* Rows get their real height only once they are shown, so the end moves while it is reached. */
  toEnd(frames = 12) {
    this.lines.scrollTop = this.lines.scrollHeight;
    requestAnimationFrame(() => {
      if (frames && this.isFollowing) this.toEnd(frames - 1);
    });
  }

  row(parent) {
    const row = document.createElement("div");
    const number = document.createElement("span");
    const text = document.createElement("span");
    number.className = "n";
    number.textContent = String(++this.number);
    text.className = "tx";
    row.append(number, text);
    parent.append(row);
    return row;
  }

  /* A carriage return overwrites its line, as a terminal shows progress bars. */
  write(row, line) {
    const shown = line.replace(/\r$/, "");
    const text = shown.slice(shown.lastIndexOf("\r") + 1);
    const target = row.lastElementChild;
    if (text.includes("\u001b")) target.innerHTML = this.ansi.ansi_to_html(text);
    else target.textContent = text;
    row.classList.toggle("err", /\b(ERROR|Traceback|CRITICAL)\b/.test(text));
  }

  mark() {
    const wanted = this.search.value.toLowerCase();
    if (!wanted && !this.isMarked) return;
    this.isMarked = wanted !== "";
    let found = 0;
    for (const row of this.lines.children) {
      const isHit = wanted !== "" && row.textContent.toLowerCase().includes(wanted);
      row.classList.toggle("hit", isHit);
      found += Number(isHit);
    }
    this.search.title = wanted ? `${found} lines` : "";
    if (wanted && found && !this.isFollowing) return;
    if (wanted && found) this.lines.querySelector(".hit")?.scrollIntoView({ block: "nearest" });
  }

  tell(isEnd, note, source) {
    this.count.textContent = this.offset
      ? `${this.number.toLocaleString("en")} lines, ${this.offset.toLocaleString("en")} bytes${source === "storage" ? ", from storage" : ""}${this.number > mostLines ? `; the last ${mostLines.toLocaleString("en")} are shown` : ""}`
      : note || (isEnd ? "no output" : "waiting for output");
    this.say(isEnd ? "complete" : this.offset ? "streaming" : "");
  }

  say(text) {
    if (this.state.textContent !== text) this.state.textContent = text;
  }

  scrolled() {
    /* Only somebody who scrolls up stops following; new lines below do not. */
    const isUpwards = this.lines.scrollTop < this.top - 4;
    this.top = this.lines.scrollTop;
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
    if ("follow" in button.dataset) this.follow(!this.isFollowing);
    if ("wrap" in button.dataset) {
      const isWrapped = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(isWrapped));
      this.lines.classList.toggle("nowrap", !isWrapped);
    }
    if (button.dataset.stream && button.dataset.stream !== this.stream) this.choose(button);
  }

  choose(button) {
    this.stream = button.dataset.stream;
    for (const other of this.panel.querySelectorAll("[data-stream]")) other.setAttribute("aria-pressed", String(other === button));
    this.lines.setAttribute("aria-label", `${button.textContent} of the task`);
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
