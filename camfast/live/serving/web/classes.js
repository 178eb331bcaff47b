// Which class is explained: the highest scores to choose from, and a search over all classes.

const POINTS = matchMedia("(hover: hover)").matches; // a finger that is gone still hovers
const MOST = 60; // classes in the list at once: who searches types on

// The highest scores, each a button. While someone points at them they stand still.
export class Scores {
  #rows = [];
  #chosen = null;

  constructor(list, choose) {
    this.list = list;
    this.choose = choose;
  }

  show(scores, target) {
    this.#chosen = target.class;
    const held = (POINTS && this.list.matches(":hover")) || this.list.querySelector(":focus-visible");
    if (!held) {
      while (this.#rows.length < scores.length) this.#add();
      this.#rows.forEach((row, i) => {
        row.item.hidden = i >= scores.length;
        row.of = scores[i] ?? null;
      });
    }
    for (const row of this.#rows) if (row.of) this.#fill(row, scores.find((one) => one.class === row.of.class));
  }

  #add() {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    const parts = ["bar", "name", "number"].map((name) => {
      const part = document.createElement("span");
      part.className = name;
      return part;
    });
    button.append(...parts);
    item.append(button);
    this.list.append(item);
    const row = { item, button, bar: parts[0], name: parts[1], value: parts[2], of: null };
    button.onclick = () => this.choose(row.of.class);
    this.#rows.push(row);
  }

  #fill({ button, bar, name, value, of }, now) { // of a class that isn't among the highest any more nothing is known
    const { score, probability } = now ?? {};
    name.textContent = of.name;
    value.textContent = typeof probability === "number" ? percent(probability) : shortScore(score);
    bar.style.transform = `scaleX(${probability ?? 0})`;
    button.title = `class ${of.class}, score ${shortScore(score)}: explain it`;
    button.setAttribute("aria-pressed", String(of.class === this.#chosen));
  }
}

function percent(share) {
  return `${(100 * share).toFixed(share > 0.0995 ? 0 : 1)} %`;
}

function shortScore(score) {
  if (score === undefined) return "–";
  return score === null ? "not a number" : score.toFixed(2);
}

// A search field with a list, as the ARIA practices describe a combobox.
export class Search {
  #names = [];
  #found = [];
  #active = -1;
  #shown = "";
  #typed = "";

  constructor(input, list, choose) {
    Object.assign(this, { input, list, choose });
    input.oninput = () => this.#open(input.value);
    input.onfocus = () => input.select();
    input.onclick = () => this.#open("");
    input.onblur = () => this.#close();
    input.onkeydown = (event) => this.#key(event);
    list.onpointerdown = (event) => { // before the field loses the focus, which closes the list
      event.preventDefault();
      const option = event.target.closest("[role=option]");
      if (option) this.#take(Number(option.dataset.at));
    };
  }

  set names(names) {
    this.#names = names;
    this.input.placeholder = `Search ${names.length} class${names.length === 1 ? "" : "es"}`;
    if (!this.list.hidden) this.#open(this.#typed); // they are known from the first frame on
  }

  // What the field says while nobody types in it.
  show(text) {
    this.#shown = text;
    if (this.list.hidden && document.activeElement !== this.input) this.input.value = text;
  }

  #open(text) {
    this.#typed = text;
    const words = text.trim().toLowerCase();
    this.#found = this.#names.map((name, index) => ({ name, index }))
      .filter(({ name, index }) => name.toLowerCase().includes(words) || String(index) === words);
    const options = this.#found.slice(0, MOST).map(({ name, index }, at) => {
      const option = document.createElement("li");
      option.id = `class-${index}`;
      option.setAttribute("role", "option");
      option.dataset.at = at;
      const number = document.createElement("span");
      number.className = "number";
      number.textContent = index;
      option.append(name, number);
      return option;
    });
    const left = this.#found.length - options.length;
    if (left > 0 || options.length === 0) {
      const more = document.createElement("li");
      more.className = "more";
      more.textContent = options.length ? `and ${left} more: type on` : "no class of this name";
      options.push(more);
    }
    this.list.replaceChildren(...options);
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.#activate(words && this.#found.length ? 0 : -1);
  }

  #close() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.value = this.#shown;
    this.#activate(-1);
  }

  #activate(at) {
    this.#active = at;
    const options = [...this.list.querySelectorAll("[role=option]")];
    options.forEach((option, i) => option.setAttribute("aria-selected", String(i === at)));
    if (at < 0) {
      this.input.removeAttribute("aria-activedescendant");
    } else {
      this.input.setAttribute("aria-activedescendant", options[at].id);
      options[at].scrollIntoView({ block: "nearest" });
    }
  }

  #take(at) {
    const { name, index } = this.#found[at];
    this.#shown = name;
    this.choose(index);
    this.#close();
    this.input.blur();
  }

  #key(event) {
    const last = Math.min(this.#found.length, MOST) - 1;
    if (event.key === "Escape") {
      this.#close();
      this.input.blur();
    } else if (event.key === "Enter" && !this.list.hidden && this.#active >= 0) {
      this.#take(this.#active);
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (this.list.hidden) this.#open("");
      else if (event.key === "ArrowDown") this.#activate(Math.min(this.#active + 1, last));
      else this.#activate(Math.max(this.#active - 1, 0));
    } else {
      return;
    }
    event.preventDefault();
  }
}
