/* The rows of a log: one per line, long lines in pieces, and no more of both than a browser bears. */

import { AnsiUp } from "./vendor/ansi_up.js";

/* A browser lays out each piece of a long line by itself, and only those that are in sight. */
const pieceLength = 4000;
const wordLength = 100;
/* Lines and further pieces that are kept: while output arrives, and when somebody asks for earlier ones. */
const mostKept = 10000;
const mostLoaded = 30000;
/* So much of a line is looked at again when more of it comes, for words that lie across the seam. */
const seam = 256;
const newline = 10;

function element(name, parent) {
  const made = document.createElement("span");
  made.className = name;
  parent.append(made);
  return made;
}

function wrap(text) {
  const children = [...text.childNodes];
  text.className = "tx long";
  const piece = element("p", text);
  piece.append(...children);
  return piece;
}

function isWrapped(text) {
  return text.classList.contains("long");
}

function newRow(parent, begin, number) {
  const row = document.createElement("div");
  element("n", row).textContent = String(number ?? "");
  element("tx", row);
  row.begin = begin;
  parent.append(row);
  return row;
}

/* Between words if a space is near, and never within a character. */
function breakBefore(text, begin, end) {
  const near = Math.max(begin, end - wordLength);
  const space = text.slice(near, end).lastIndexOf(" ");
  if (space >= 0) return near + space + 1;
  return text.codePointAt(end - 1) > 0xffff ? end + 1 : end;
}

/* Writes one line into its row, as much of it as is there. */
class Line {
  constructor(row, ansi) {
    this.row = row;
    this.ansi = ansi;
    this.text = row.lastElementChild;
    this.isReturned = false;
    this.clear();
  }

  clear() {
    this.text.replaceChildren();
    this.text.className = "tx";
    this.target = this.text;
    this.room = pieceLength;
    this.isColoured = false;
    this.seen = "";
    this.row.pieces = 1;
    this.row.className = "";
  }

  /* A carriage return overwrites what is before it once something follows, as a terminal shows progress bars. */
  add(text) {
    let end = text.length;
    while (end && text[end - 1] === "\r") end -= 1;
    let looked = "";
    if (end) {
      const begin = text.lastIndexOf("\r", end - 1) + 1;
      if (begin || this.isReturned) {
        this.clear();
        this.row.isOverwritten = true;
      }
      this.isReturned = false;
      looked = this.write(text.slice(begin, end));
    }
    this.isReturned ||= end < text.length;
    return looked;
  }

  write(text) {
    for (let begin = 0; begin < text.length; ) {
      if (!this.room) this.turn();
      const isFull = text.length - begin > this.room;
      const end = isFull ? breakBefore(text, begin, begin + this.room) : text.length;
      this.put(text.slice(begin, end));
      this.room = isFull ? 0 : this.room - (end - begin);
      begin = end;
    }
    const looked = this.seen + text;
    this.seen = looked.slice(-seam);
    if (/\b(ERROR|Traceback|CRITICAL)\b/.test(looked)) this.row.classList.add("err");
    return looked;
  }

  put(text) {
    this.isColoured ||= text.includes("\u001b");
    if (this.isColoured) this.target.insertAdjacentHTML("beforeend", this.ansi.ansi_to_html(text));
    else this.target.append(text);
  }

  turn() {
    if (this.target === this.text) wrap(this.text);
    this.target = element("p", this.text);
    this.room = pieceLength;
    this.row.pieces += 1;
  }
}

function newAnsi() {
  const ansi = new AnsiUp();
  ansi.use_classes = true;
  return ansi;
}

export class Lines {
  constructor(box) {
    this.box = box;
    this.wanted = "";
    this.begin();
  }

  begin() {
    this.box.replaceChildren();
    this.ansi = newAnsi();
    this.open = null;
    this.pieces = 0;
    this.most = mostKept;
    this.isHeld = false;
    this.isCut = false;
    /* The byte at which the first row begins, and the next one will. */
    this.start = null;
    this.next = null;
    /* How many lines have begun since byte 0; null when the beginning was never read. */
    this.count = null;
  }

  get shown() {
    return this.box.childElementCount;
  }

  get isWhole() {
    return !this.start && !this.isCut;
  }

  get canLoad() {
    return this.start > 0 && this.shown > 0 && !this.isCut && this.pieces < mostLoaded;
  }

  /* Add what was read at byte `from`; its last line may go on in the next part. */
  append(text, bytes, from) {
    if (this.start === null) {
      this.start = this.next = from;
      if (!from) this.count = 0;
    }
    const lines = text.split("\n");
    let at = this.isHeld ? 0 : this.pass(lines, bytes, from);
    const fresh = document.createDocumentFragment();
    for (const [index, line] of lines.entries()) {
      const isEnded = index < lines.length - 1;
      if (!this.open && (isEnded || line)) this.open = this.newLine(fresh);
      if (line) this.write(this.open, line);
      if (!isEnded) break;
      at = bytes.indexOf(newline, at) + 1;
      this.next = from + at;
      this.open = null;
    }
    this.box.append(fresh);
    this.trim();
  }

  /* Leave out the lines of a part that would be let go at once, and all before them; returns where the rest begins. */
  pass(lines, bytes, from) {
    const surplus = lines.length - this.most;
    if (surplus <= 0) return 0;
    let at = 0;
    for (let passed = 0; passed < surplus; passed += 1) at = bytes.indexOf(newline, at) + 1;
    if (this.count !== null) this.count += surplus - Number(this.open !== null);
    lines.splice(0, surplus);
    this.box.replaceChildren();
    this.pieces = 0;
    this.open = null;
    this.isCut = false;
    this.start = this.next = from + at;
    return at;
  }

  newLine(parent) {
    if (this.count !== null) this.count += 1;
    this.pieces += 1;
    return new Line(newRow(parent, this.next, this.count), this.ansi);
  }

  write(line, text) {
    const { row } = line;
    const before = row.pieces;
    const looked = line.add(text);
    this.pieces += row.pieces - before;
    if (this.wanted && looked.toLowerCase().includes(this.wanted)) row.classList.add("hit");
  }

  /* Add what was read before the first row, from byte `from` up to where that begins. */
  prepend(text, bytes, from) {
    const ansi = newAnsi();
    const lines = text.split("\n");
    const rest = lines.pop();
    const surplus = lines.length - Math.min(mostKept, mostLoaded - this.pieces);
    const fresh = document.createDocumentFragment();
    let at = 0;
    for (const [index, line] of lines.entries()) {
      if (index >= surplus) this.lead(newRow(fresh, from + at, null), line, ansi);
      at = bytes.indexOf(newline, at) + 1;
    }
    if (rest) this.join(rest, ansi, from + at);
    this.box.prepend(fresh);
    this.start = this.box.firstElementChild.begin;
    this.most = Math.max(mostKept, this.pieces);
    if (!this.start) this.count ??= this.shown;
    this.renumber();
    if (this.wanted) this.find(this.wanted);
  }

  lead(row, text, ansi) {
    const line = new Line(row, ansi);
    line.add(text);
    this.pieces += row.pieces;
    return line;
  }

  /* Put text before that of the first row, whose line it begins. */
  join(text, ansi, begin) {
    const row = this.box.firstElementChild;
    const target = row.lastElementChild;
    row.begin = begin;
    if (row.isOverwritten) return;
    const line = this.lead(newRow(document.createDocumentFragment(), begin, null), text, ansi);
    if (line.isReturned && target.textContent) {
      this.pieces -= line.row.pieces;
      row.isOverwritten = true;
      return;
    }
    if (!isWrapped(target)) {
      const piece = wrap(target);
      if (this.open?.row === row) this.open.target = piece;
    }
    if (!isWrapped(line.text)) wrap(line.text);
    target.prepend(...line.text.childNodes);
    row.pieces += line.row.pieces;
    row.isOverwritten = line.row.isOverwritten;
    if (line.row.classList.contains("err")) row.classList.add("err");
  }

  renumber() {
    if (this.count === null) return;
    let number = this.count - this.shown;
    for (const row of this.box.children) row.firstElementChild.textContent = String(++number);
  }

  trim() {
    let surplus = this.isHeld ? 0 : this.pieces - this.most;
    if (surplus <= 0) return;
    while (surplus > 0) {
      const row = this.box.firstElementChild;
      const dropped = Math.min(surplus, row.pieces);
      this.isCut = dropped < row.pieces;
      if (this.isCut) for (let left = dropped; left; left -= 1) row.lastElementChild.firstElementChild.remove();
      else row.remove();
      row.pieces -= dropped;
      this.pieces -= dropped;
      surplus -= dropped;
    }
    this.start = this.box.firstElementChild.begin;
  }

  /* Mark the lines with a word in them and return the first place of it. */
  find(wanted) {
    this.wanted = wanted.toLowerCase();
    const has = (node) => this.wanted !== "" && node.textContent.toLowerCase().includes(this.wanted);
    for (const row of this.box.children) row.classList.toggle("hit", has(row.lastElementChild));
    const first = this.box.querySelector(".hit");
    return first && ([...first.querySelectorAll(".p")].find(has) ?? first);
  }

  get found() {
    return this.box.getElementsByClassName("hit").length;
  }

  /* Remember what is at the top of the box; the function that is returned brings it back there. */
  place() {
    const { left, top } = this.box.getBoundingClientRect();
    const seen = document.elementFromPoint(left + 4, top + 12)?.closest(".p, [data-lines] > div");
    if (!seen) return () => {};
    const { bottom } = seen.getBoundingClientRect();
    return () => {
      this.box.scrollTop += seen.getBoundingClientRect().bottom - bottom;
    };
  }
}
