// The viewer's controls above each trace: judge, rename, add, move, undo, save.
(() => {
  "use strict";

  const { spikesorter } = window;
  const { contents, server, states } = spikesorter;
  const { element, button } = spikesorter.make;

  const nameOf = (r, unit) =>
    (states.now(r)?.units ?? contents.recordings[r].units).find((one) => one.unit === unit)?.name ?? String(unit);

  // How the server names a spike: sample and unit as found.
  const asFound = (spike) => spike.was ?? [spike.sample, spike.unit];
  const same = (one, other) => one !== null && other !== null && String(asFound(one)) === String(asFound(other));

  // Key 3 renames to the unit named 3 or, if there is none, to the third unit, unless that is named by
  // another digit. Key 0 renames to the unit named 0.
  const keysOf = (units) => {
    const keys = new Map();
    for (let digit = 0; digit <= 9; digit += 1) {
      const named = units.find(({ name }) => name === String(digit));
      const found = named ?? (digit > 0 ? units.filter(({ unit }) => unit > 0)[digit - 1] : undefined);
      if (found !== undefined && (named || !/^[0-9]$/.test(found.name))) keys.set(String(digit), found.unit);
    }
    return keys;
  };

  class Controls {
    constructor(r, host) {
      this.r = r;
      this.spike = null;
      this.words = element("p", { className: "viewer-spike" });
      this.count = element("p", { className: "viewer-count" });
      this.judged = element("p", { className: "judged" }); // what the judged spikes change in the forecast
      this.ofUnits = element("ul");
      this.learnt = element("details", {}, [element("summary", { textContent: "The forecast of each unit" }), this.ofUnits]);
      this.status = element("p", { className: "viewer-status" });
      this.status.setAttribute("role", "status");
      this.problem = element("p", { className: "viewer-problem" });
      this.problem.setAttribute("role", "alert");
      this.select = element("select");
      this.lines = element("ol", { className: "journal" });
      this.done = element("details", {}, [element("summary", { textContent: "What was done" }), this.lines]);
      this.ofSpike = [
        button("Accept", "a", () => this.decide("accept")),
        button("Reject", "x", () => this.decide("reject")),
        element("label", {}, ["Rename to ", this.select]),
        button("Rename", "", () => this.decide("rename", Number(this.select.value))),
        button("Move", "m", () => this.placing("move")),
      ];
      this.undoButton = button("Undo", "u", () => this.step("undo"));
      this.redoButton = button("Redo", "y", () => this.step("redo"));
      const rest = [
        button("Add", "i", () => this.placing("add")),
        this.undoButton,
        this.redoButton,
        button("Next to judge", "j", () => this.next()),
        button("Save as labels", "", () => this.save()),
      ];
      host.replaceChildren(
        element("fieldset", { className: "viewer-controls" }, [
          element("legend", { textContent: "Correct spikes" }),
          this.words,
          element("div", { className: "viewer-buttons" }, [...this.ofSpike, ...rest]),
          this.count,
          this.judged,
          this.status,
          this.problem,
          this.learnt,
          this.done,
        ]),
      );
      this.listUnits(contents.recordings[r].units);
      this.show();
    }

    listUnits(units) {
      if (String(units.map((one) => one.unit)) === String(this.units?.map((one) => one.unit))) return;
      this.units = units;
      this.keys = keysOf(units);
      const chosen = this.select.value;
      this.select.replaceChildren(...units.map((one) => this.option(one)));
      if (chosen) this.select.value = chosen;
    }

    option({ unit, name }) {
      const key = [...this.keys].find(([, one]) => one === unit)?.[0];
      const hint = key !== undefined && key !== name ? ` (key ${key})` : "";
      return element("option", { value: String(unit), textContent: `${name}${hint}` });
    }

    // Run one task at a time: the next one waits. Errors are shown, and announced by screen readers.
    during(work, failed = "Not saved") {
      const run = async () => {
        this.problem.textContent = "";
        try {
          await work();
        } catch (error) {
          this.showProblem(failed, error);
        }
      };
      this.task = (this.task ?? Promise.resolve()).then(run);
      return this.task;
    }

    showProblem(what, error) {
      this.status.textContent = "";
      this.problem.textContent = `${what}: ${error.message}`;
    }

    // Select nothing until what was decided of the spike is known, so that a key cannot correct the previous one.
    pick(spike) {
      this.spike = null;
      this.picked = spike;
      if (spike === null || spike.known) {
        this.spike = spike;
        this.show();
        return Promise.resolve();
      }
      this.picking = this.look(spike);
      return this.picking;
    }

    async look(spike) {
      const [sample, unit] = asFound(spike);
      const [now] = await Promise.all([server.get("spike", { r: this.r, sample, unit }), states.of(this.r)]);
      if (this.picked !== spike) return;
      this.spike = now;
      this.show();
    }

    show() {
      const state = states.now(this.r);
      const { spike } = this;
      this.select.disabled = spike === null;
      for (const one of this.ofSpike) if (one.tagName === "BUTTON") one.disabled = spike === null;
      if (spike === null) {
        this.words.textContent = "No spike is selected. Click a spike, or go to the next doubtful spike.";
      } else {
        const name = nameOf(this.r, asFound(spike)[1]);
        this.words.textContent = `Spike of unit ${name} at ${this.time(spike)}: ${this.decision(spike)}.`;
      }
      if (state === undefined) return;
      this.listUnits(state.units);
      this.count.textContent = `${state.reviewed} of ${state.doubtful} doubtful spikes reviewed`;
      this.judged.textContent = state.judged.line;
      this.ofUnits.replaceChildren(...state.judged.units.map((line) => element("li", { textContent: line })));
      this.learnt.hidden = state.judged.units.length === 0;
      for (const [one, what] of [[this.undoButton, state.undo], [this.redoButton, state.redo]]) {
        one.title = what ?? "";
        one.setAttribute("aria-disabled", String(what === null));
      }
      this.lines.replaceChildren(...state.journal.map((line) => element("li", { textContent: line })));
      this.done.hidden = state.journal.length === 0;
    }

    decision(spike) {
      if (spike.decision === "renamed") return `renamed to ${nameOf(this.r, spike.unit)}`;
      if (spike.decision === "merged") return `now of unit ${nameOf(this.r, spike.unit)}`;
      return spike.decision ?? "not yet reviewed";
    }

    async decide(action, to) {
      await this.picking?.catch(() => null); // a spike that was chosen just now
      const { r, spike } = this;
      if (spike === null || this.deciding === spike) return undefined; // a key that was pressed twice
      this.deciding = spike;
      return this.during(async () => {
        const [sample, unit] = asFound(spike);
        const answer = await server.post("correct", { r, sample, unit, action, ...(to !== undefined && { to }) });
        const now = await server.get("spike", { r, sample, unit });
        this.status.textContent = `Saved: the spike at ${this.time(spike)} is ${this.decision(now)}.`;
        if (this.spike === spike) this.spike = now;
        states.remember(r, answer);
        if (!(await this.advance(answer))) await spikesorter.page.redraw(r);
      }).finally(() => {
        this.deciding = null;
      });
    }

    // Store a change of many spikes or units, or a step back or forth; `said`: in words.
    change(fields, said) {
      const { r } = this;
      return this.during(async () => {
        const answer = states.remember(r, await server.post("edit", { r, ...fields }));
        this.status.textContent = `Saved: ${said(answer)}.`;
        await this.reselect();
        await spikesorter.page.redraw(r);
      });
    }

    // What is selected may have changed.
    async reselect() {
      const { r, spike } = this;
      if (spike === null) return;
      const [sample, unit] = asFound(spike);
      this.spike = await server.get("spike", { r, sample, unit });
      this.show();
    }

    step(action) {
      return this.during(async () => {
        const what = (await states.of(this.r))[action];
        if (what === null) {
          this.status.textContent = action === "undo" ? "There is nothing to undo." : "There is nothing to make again.";
          return;
        }
        const answer = states.remember(this.r, await server.post("edit", { r: this.r, action }));
        this.status.textContent = `${action === "undo" ? "Undone" : "Made again"}: ${what}.`;
        const [first] = answer.about;
        const [sample, unit] = first ?? [];
        const spike = first && (await server.get("spike", { r: this.r, sample, unit }));
        if (spike) await spikesorter.page.select(this.r, spike);
        else await this.reselect();
        await spikesorter.page.redraw(this.r);
      });
    }

    time(spike) {
      return `${(spike.sample / contents.recordings[this.r].fs_hz).toFixed(4)} s`;
    }

    next() {
      return this.during(async () => {
        if (!(await this.advance(await states.of(this.r)))) this.status.textContent = "All doubtful spikes are reviewed.";
      }, "Not found");
    }

    // Go to the doubtful spike whose judgement tells most; false if all are judged.
    async advance(state) {
      const following = state.next.find(([sample, unit]) => !same(this.spike, { sample, unit }));
      if (following === undefined) return false;
      const [sample, unit, probability] = following;
      await spikesorter.page.select(this.r, { sample, unit, probability });
      return true;
    }

    placing(what) {
      return spikesorter.placing?.begin(this, what);
    }

    save() {
      return this.during(async () => {
        const saved = await server.post("save", { r: this.r });
        const gone = saved.ignored ? ` ${saved.ignored} corrections were left out: their spikes are no longer in the results.` : "";
        this.status.replaceChildren(
          `Saved ${saved.spikes} spikes as labels in `,
          element("code", { textContent: saved.file }),
          `.${gone} To train with them: `,
          element("code", { textContent: saved.command }),
          ". To write them as NWB, or in another format: ",
          element("code", { textContent: saved.export }),
        );
      });
    }

    sayKeys(key) {
      const known = [...this.keys].map(([one, unit]) => {
        const name = nameOf(this.r, unit);
        return one === name ? one : `${one} (${name})`;
      });
      this.status.textContent = `No unit has key ${key}. Keys of units: ${known.join(", ") || "none"}.`;
      return true;
    }

    pressed(key) {
      const ways = {
        a: () => this.decide("accept"),
        x: () => this.decide("reject"),
        i: () => this.placing("add"),
        m: () => this.spike && this.placing("move"),
        u: () => this.step("undo"),
        y: () => this.step("redo"),
        j: () => this.next(),
      };
      if (Object.hasOwn(ways, key)) return ways[key]() ?? true;
      if (this.keys.has(key)) return this.decide("rename", this.keys.get(key));
      if (/^[1-9]$/.test(key)) return this.sayKeys(key);
      return null;
    }
  }

  const shown = new Map(); // r -> Controls
  let current = null;
  states.onChange((r) => shown.get(r)?.show());

  spikesorter.extras = {
    mount(r, host) {
      const controls = new Controls(r, host);
      shown.set(r, controls);
      current ??= r;
      states.of(r).then(
        () => controls.show(),
        (error) => controls.showProblem("Earlier corrections cannot be read", error),
      );
    },
    onPage(r) {
      current = r;
    },
    onDrawn(r) {
      spikesorter.placing?.drawn(r);
    },
    onSelect(r, spike) {
      current = r;
      const controls = shown.get(r);
      controls?.pick(spike ?? null).catch((error) => controls.showProblem("Cannot be corrected", error));
    },
  };

  const controlsOf = (r) => {
    if (!shown.has(r)) spikesorter.page.begin?.(r); // nothing was in sight yet
    return shown.get(r);
  };
  Object.assign(spikesorter, { asFound, controlsOf, nameOf });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.repeat) return;
    if (event.target.closest("input:not([type=range]), select, textarea, [contenteditable]")) return;
    const r = spikesorter.page.current?.() ?? current;
    if (controlsOf(r)?.pressed(event.key)) event.preventDefault();
  });
})();
