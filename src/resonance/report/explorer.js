// The explorer: draws one run, layer, direction and cycle at a time from the numbers in #explorer-data.
// Texts are set as text, never as markup. The coding of the numbers is told in explorer.py.
(() => {
  "use strict";

  const data = JSON.parse(document.getElementById("explorer-data").textContent);
  const tool = document.getElementById("explorer-tool");
  const part = (name) => tool.querySelector(`[data-part="${name}"]`);
  const SIDES = ["input", "target"];
  const PICKS = ["learner", "pair", "schedule", "seed"];
  const DIRECTIONS = ["1>2", "2>1", "1>1", "2>2"];
  const TEXTS = { 1: "text 1, the article", 2: "text 2, the meta-analysis" };
  const NOWHERE = 65535;
  const STEP = 900; // milliseconds per mark when played

  // What is looked at: places in the run's lists of layers and cycles, and perhaps one token.
  const now = { run: null, direction: "1>2", colour: "recall", layer: 0, mark: 0, token: null };
  const panes = Object.fromEntries(SIDES.map((side) => [side, tool.querySelector(`[data-tokens="${side}"]`)]));
  let timer = null;

  // ---- numbers

  const bytes = new Map();
  function unpack(place) {
    if (!bytes.has(place)) bytes.set(place, Uint8Array.from(atob(data.pool[place]), (sign) => sign.charCodeAt(0)));
    return bytes.get(place);
  }

  const textOf = (direction, side) => (side === "input" ? direction[0] : direction[2]);
  const text = (side) => data.texts[now.run.texts[textOf(now.direction, side)]];
  const way = (side) => (now.run.ways[now.direction] || {})[side] || {};
  const arrow = (direction) => direction.replace(">", "→");

  // Drift or loss of one token at one mark, NaN where it was not measured.
  function value(colour, side, token, mark, layer) {
    const own = way(side)[colour === "drift" ? "drift" : "nll"];
    if (own === undefined) return NaN;
    const length = text(side).tokens.length;
    const row = colour === "drift" ? mark * now.run.layers.length + layer : mark;
    const code = unpack(own)[row * length + token];
    return code === 255 ? NaN : (code / 254) ** 2 * now.run.top[colour === "drift" ? "drift" : "nll"];
  }

  function said(side, token, mark) {
    const own = way(side).right;
    if (own === undefined) return false;
    const width = Math.ceil(text(side).tokens.length / 8);
    return ((unpack(own)[mark * width + (token >> 3)] >> (token & 7)) & 1) === 1;
  }

  function mean(colour, side, mark, layer) {
    let sum = 0;
    let number = 0;
    for (let token = 0; token < text(side).tokens.length; token += 1) {
      const one = value(colour, side, token, mark, layer);
      if (!Number.isNaN(one)) {
        sum += one;
        number += 1;
      }
    }
    return number ? sum / number : NaN;
  }

  // Two digits: a byte holds no more.
  const plain = (number) => {
    if (Number.isNaN(number)) return "not measured";
    return number !== 0 && number < 0.001 ? "under 0.001" : String(Number(number.toPrecision(2)));
  };

  // Two coordinates from 0 to 1 for each place of the plane, or null.
  function point(numbers, place) {
    const at = (i) => numbers[4 * place + i] + 256 * numbers[4 * place + i + 1];
    return at(0) === NOWHERE ? null : [at(0) / 65534, at(2) / 65534];
  }

  function path(side, direction = now.direction) {
    const own = (now.run.ways[direction] || {})[side];
    if (!own || own.path === undefined) return [];
    const marks = now.run.cycles.length;
    return now.run.cycles.map((_, mark) => point(unpack(own.path), now.layer * marks + mark));
  }

  function parts(side, mark, direction = now.direction) {
    const own = (now.run.ways[direction] || {})[side];
    if (!own || own.parts === undefined) return [];
    const numbers = unpack(own.parts);
    const marks = now.run.cycles.length;
    const count = numbers.length / (4 * marks * now.run.layers.length);
    return Array.from({ length: count }, (_, each) => point(numbers, (now.layer * marks + mark) * count + each));
  }

  // ---- choosing

  function fill(select, values, chosen) {
    select.replaceChildren(...values.map((each) => new Option(each, each, false, each === chosen)));
    select.value = chosen;
    select.parentElement.hidden = values.length < 2;
  }

  // The run that has what was chosen last, and of the rest as much as there is.
  function choose(key, wanted) {
    const agree = (run) => PICKS.filter((each) => String(run.run[each]) === String(now.run.run[each])).length;
    const having = data.runs.filter((run) => String(run.run[key]) === wanted);
    show(having.reduce((best, run) => (agree(run) > agree(best) ? run : best)));
  }

  function show(run) {
    const before = now.run;
    const cycle = before ? before.cycles[now.mark] : null;
    const layer = before ? before.layers[now.layer] : null;
    now.run = run;
    now.token = null;
    const nearest = (values, wanted) =>
      values.reduce((best, each, place) => (Math.abs(each - wanted) < Math.abs(values[best] - wanted) ? place : best), 0);
    now.mark = before ? nearest(run.cycles, cycle) : Math.floor(run.cycles.length / 2);
    now.layer = before && run.layers.length ? nearest(run.layers, layer) : Math.max(0, run.layers.length - 1);
    for (const key of PICKS) {
      const values = [...new Set(data.runs.map((each) => String(each.run[key])))];
      fill(tool.querySelector(`[data-pick="${key}"]`), values, String(run.run[key]));
    }
    const ways = DIRECTIONS.filter((each) => run.ways[each]);
    if (!ways.includes(now.direction)) now.direction = ways[0] || "1>2";
    radios("direction", ways.map((each) => [each, arrow(each)]));
    radios("layer", run.layers.map((each, place) => [place, each === 0 ? "0 (embedding)" : String(each)]));
    const slider = part("cycle");
    slider.max = String(Math.max(0, run.cycles.length - 1));
    slider.value = String(now.mark);
    write();
  }

  function radios(name, choices) {
    const field = tool.querySelector(`[data-choice="${name}"]`);
    const made = choices.map(([key, word]) => {
      const label = document.createElement("label");
      const input = document.createElement("input");
      const face = document.createElement("span");
      Object.assign(input, { type: "radio", name: `explorer-${name}`, value: String(key), checked: key === now[name] });
      input.addEventListener("change", () => {
        now[name] = key;
        if (name === "direction") now.token = null;
        if (name === "direction") write();
        else draw();
      });
      face.textContent = word;
      label.append(input, face);
      return label;
    });
    field.replaceChildren(field.querySelector("legend"), ...made);
    field.hidden = choices.length < 2;
  }

  // ---- the two texts

  // New tokens: when the run or the direction changes.
  function write() {
    const has = (name) => SIDES.some((side) => way(side)[name] !== undefined);
    const can = { recall: has("nll"), drift: has("drift") };
    if (!can[now.colour]) now.colour = can.recall ? "recall" : "drift";
    radios("colour", [["recall", "recall"], ["drift", "drift"]]);
    for (const input of tool.querySelectorAll('[name="explorer-colour"]')) input.disabled = !can[input.value];
    for (const side of SIDES) {
      const own = text(side);
      const title = `${side === "input" ? "■ input" : "● target"}: ${TEXTS[textOf(now.direction, side)]}`;
      part(`${side}-title`).textContent = own.left_out ? `${title} (its first ${own.tokens.length} tokens)` : title;
      panes[side].setAttribute("aria-label", `${title}; left and right arrow keys choose a token`);
      panes[side].replaceChildren(
        ...own.tokens.flatMap((piece, place) => {
          const blank = piece.trim() ? piece.slice(0, piece.length - piece.trimStart().length) : "";
          const span = document.createElement("span");
          span.textContent = piece.slice(blank.length);
          span.dataset.token = String(place);
          return [blank, span];
        }),
      );
    }
    draw();
  }

  const strength = (colour, number) => (colour === "drift" ? Math.sqrt(Math.min(1, number)) : Math.min(1, number / 8));

  function paint(side) {
    const measured = now.colour === "drift" ? way(side).drift : way(side).nll;
    [...panes[side].children].forEach((span, token) => {
      const number = measured === undefined ? NaN : value(now.colour, side, token, now.mark, now.layer);
      span.classList.toggle("unmeasured", Number.isNaN(number));
      span.classList.toggle("known", now.colour === "recall" && said(side, token, now.mark));
      span.classList.toggle("chosen", now.token !== null && now.token.side === side && now.token.place === token);
      span.style.setProperty("--v", Number.isNaN(number) ? "0" : strength(now.colour, number).toFixed(3));
    });
  }

  function legend() {
    const drift = now.colour === "drift";
    part("legend-name").textContent = drift
      ? "Drift: 1 − cosine between a token's state now and at cycle 0, in this layer."
      : "Recall: what the right token costs the network, in nat.";
    part("legend-low").textContent = drift ? "0" : "0: known by heart";
    part("legend-high").textContent = drift ? "1 or more (the middle is 0.25)" : "8 or more: about a blind guess";
    part("legend-more").textContent = drift
      ? ""
      : "Underlined: what it would say by itself. The input is given, so nothing is asked of it.";
  }

  function tell() {
    const place = part("chosen");
    if (now.token === null) {
      place.textContent = "No token is chosen.";
      return;
    }
    const { side, place: token } = now.token;
    const own = text(side);
    const layer = now.run.layers[now.layer];
    const facts = [`token ${token + 1} of the ${side}`];
    if (own.segments[token] >= 0) facts.push(`segment ${own.segments[token] + 1}`);
    const drift = value("drift", side, token, now.mark, now.layer);
    const cost = value("recall", side, token, now.mark, now.layer);
    if (!Number.isNaN(drift)) facts.push(`drift ${plain(drift)} in layer ${layer}`);
    if (!Number.isNaN(cost)) facts.push(`costs ${plain(cost)} nat${said(side, token, now.mark) ? ", and it would be said" : ""}`);
    const strong = document.createElement("strong");
    strong.textContent = `“${own.tokens[token].trim() || own.tokens[token]}”`;
    place.replaceChildren(strong, `: ${facts.join("; ")}. Cycle ${cycle()}.`);
  }

  function pick(side, place) {
    const length = text(side).tokens.length;
    now.token = place === null ? null : { side, place: Math.max(0, Math.min(length - 1, place)) };
    draw();
    if (now.token !== null) panes[side].children[now.token.place].scrollIntoView({ block: "nearest" });
  }

  // ---- the two pictures

  const SVG = "http://www.w3.org/2000/svg";
  function mark(name, attributes, words) {
    const made = document.createElementNS(SVG, name);
    for (const [key, each] of Object.entries(attributes)) made.setAttribute(key, String(each));
    if (words !== undefined) made.textContent = words;
    return made;
  }

  const line = (points) =>
    points.map((each, place) => each && `${place && points[place - 1] ? "L" : "M"}${each[0].toFixed(1)} ${each[1].toFixed(1)}`).filter(Boolean).join("");

  function dot(side, [x, y], size, kind) {
    const attributes = { class: `dot ${side} ${kind}` };
    return side === "input"
      ? mark("rect", { ...attributes, x: x - size, y: y - size, width: 2 * size, height: 2 * size })
      : mark("circle", { ...attributes, cx: x, cy: y, r: size });
  }

  const WIDTH = 440;
  const HEIGHT = 300;
  const EDGE = 26;

  function drawPath() {
    const picture = part("path");
    const every = [];
    for (const direction of DIRECTIONS) {
      for (const side of SIDES) {
        every.push(...path(side, direction));
        now.run.cycles.forEach((_, each) => every.push(...parts(side, each, direction)));
      }
    }
    const points = every.filter(Boolean);
    picture.replaceChildren();
    const layer = now.run.layers[now.layer];
    part("path-title").textContent = "Where the two texts are";
    if (!points.length) {
      picture.append(mark("text", { x: WIDTH / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "no states were recorded"));
      part("path-key").textContent = "";
      return;
    }
    const low = [0, 1].map((axis) => points.reduce((least, each) => Math.min(least, each[axis]), 1));
    const high = [0, 1].map((axis) => points.reduce((most, each) => Math.max(most, each[axis]), 0));
    const scale = Math.min((WIDTH - 2 * EDGE) / Math.max(1e-6, high[0] - low[0]), (HEIGHT - 2 * EDGE) / Math.max(1e-6, high[1] - low[1]));
    const place = (each) =>
      each && [
        WIDTH / 2 + (each[0] - (low[0] + high[0]) / 2) * scale,
        HEIGHT / 2 - (each[1] - (low[1] + high[1]) / 2) * scale,
      ];
    for (const direction of DIRECTIONS.filter((each) => each !== now.direction)) {
      for (const side of SIDES) picture.append(mark("path", { d: line(path(side, direction).map(place)) }));
    }
    const chosen = now.token === null ? -1 : text(now.token.side).segments[now.token.place];
    for (const side of SIDES) {
      parts(side, now.mark).map(place).forEach((each, segment) => {
        if (!each) return;
        const own = now.token !== null && now.token.side === side && segment === chosen;
        const made = dot(side, each, own ? 4 : 2.2, own ? "part own" : "part");
        made.append(mark("title", {}, `segment ${segment + 1} of the ${side}`));
        picture.append(made);
        if (own) {
          const trail = now.run.cycles.map((_, at) => place(parts(side, at)[segment]));
          picture.append(mark("path", { class: "token", "stroke-opacity": 0.5, d: line(trail) }));
        }
      });
    }
    for (const side of SIDES) {
      const steps = path(side).map(place);
      picture.append(mark("path", { class: `way ${side}`, d: line(steps) }));
      steps.forEach((each, at) => each && at !== now.mark && picture.append(dot(side, each, at ? 2 : 4, at ? "full" : "")));
      const here = steps[now.mark];
      if (here) picture.append(dot(side, here, 7, "full"));
    }
    const ends = path("target").map(place);
    const final = ends[ends.length - 1];
    const apart = ends[0] && final && Math.hypot(ends[0][0] - final[0], ends[0][1] - final[1]) > 24;
    for (const at of apart ? [0, ends.length - 1] : []) {
      const [x, y] = ends[at];
      const right = x < WIDTH - 60;
      const words = short(now.run.cycles[at]);
      picture.append(mark("text", { x: right ? x + 11 : x - 11, y: y + 4, "text-anchor": right ? "start" : "end" }, words));
    }
    const label = `Paths of the mean states of input and target in layer ${layer}, now at cycle ${cycle()}; arrow keys move through the cycles`;
    picture.setAttribute("aria-label", label);
    const share = Math.round(100 * now.run.planes[now.layer].share);
    part("path-key").textContent =
      `Layer ${layer}, mean state of each text: large now, open at cycle 0; small marks around are its segments now. ` +
      `Grey: the other directions. ${now.token === null || chosen < 0 ? "" : "Thick: the segment of the chosen token. "}` +
      `Numbers are cycles. One plane for all of them, with ${share}% of the variance.`;
  }

  function drawCurve() {
    const picture = part("curve");
    const marks = now.run.cycles.map((_, place) => place);
    const drift = now.colour === "drift";
    part("curve-title").textContent = drift ? "Drift over the cycles" : "Loss over the cycles";
    picture.replaceChildren();
    const lines = SIDES.map((side) => [side, `way ${side}`, marks.map((at) => mean(now.colour, side, at, now.layer))]);
    if (now.token !== null) {
      const { side, place } = now.token;
      lines.push([side, "token", marks.map((at) => value(now.colour, side, place, at, now.layer))]);
    }
    const numbers = lines.flatMap(([, , own]) => own).filter((each) => !Number.isNaN(each));
    const most = Math.max(drift ? 0.01 : 0.1, ...numbers);
    const x = (at) => 56 + ((WIDTH - 76) * at) / Math.max(1, marks.length - 1);
    const y = (number) => HEIGHT - 38 - ((HEIGHT - 58) * number) / most;
    for (const number of [0, most / 2, most]) {
      picture.append(mark("line", { x1: 56, x2: WIDTH - 20, y1: y(number), y2: y(number) }));
      picture.append(mark("text", { x: 50, y: y(number) + 4, "text-anchor": "end" }, number === 0 ? "0" : plain(number)));
    }
    const wide = Math.max(1, Math.ceil(marks.length / 9));
    for (const at of marks) {
      if (at % wide === 0 || at === now.mark) {
        const here = at === now.mark;
        if (!here && Math.abs(at - now.mark) < wide && wide > 1) continue;
        picture.append(mark("text", { x: x(at), y: HEIGHT - 20, "text-anchor": "middle", class: here ? "strong" : "" }, short(now.run.cycles[at])));
      }
    }
    picture.append(mark("text", { x: WIDTH / 2, y: HEIGHT - 4, "text-anchor": "middle" }, "cycle"));
    picture.append(mark("line", { class: "now", x1: x(now.mark), x2: x(now.mark), y1: 12, y2: HEIGHT - 36 }));
    for (const [side, kind, own] of lines) {
      const steps = own.map((number, at) => (Number.isNaN(number) ? null : [x(at), y(number)]));
      picture.append(mark("path", { class: kind, d: line(steps) }));
      if (kind !== "token" && steps[now.mark]) picture.append(dot(side, steps[now.mark], 5, "full"));
    }
    const target = lines[1][2][now.mark];
    const input = lines[0][2][now.mark];
    const said = drift ? `input ${plain(input)}, target ${plain(target)}` : `target ${plain(target)} nat/token`;
    picture.setAttribute("aria-label", `${part("curve-title").textContent}: mean at cycle ${cycle()}: ${said}; arrow keys move through the cycles`);
    const unit = drift ? `1 − cosine in layer ${now.run.layers[now.layer]}` : "nat per token";
    const which = drift ? "Dashed: mean of the input; solid: of the target" : "Solid: mean of the target";
    part("curve-key").textContent = `${unit}. ${which}${now.token === null ? "" : "; black or white: the chosen token"}. Here: ${said}. Marks are evenly spaced.`;
  }

  const short = (number) =>
    number < 10000 ? String(number) : number < 1e6 ? `${+(number / 1e3).toPrecision(3)}k` : `${+(number / 1e6).toPrecision(3)}M`;

  const cycle = () => (now.run.cycles.length ? now.run.cycles[now.mark].toLocaleString("en") : "–");

  // Everything that a change of cycle, layer, colour or token can alter.
  function draw() {
    for (const side of SIDES) paint(side);
    legend();
    tell();
    const last = now.run.cycles.length ? now.run.cycles[now.run.cycles.length - 1].toLocaleString("en") : "–";
    part("now").textContent = `cycle ${cycle()} of ${last}`;
    part("cycle").value = String(now.mark);
    part("cycle").setAttribute("aria-valuetext", `cycle ${cycle()}`);
    drawPath();
    drawCurve();
  }

  // ---- moving

  function go(place) {
    now.mark = Math.max(0, Math.min(now.run.cycles.length - 1, place));
    draw();
  }

  function play(on) {
    clearInterval(timer);
    timer = null;
    if (on) {
      if (now.mark === now.run.cycles.length - 1) go(0);
      timer = setInterval(() => {
        go(now.mark + 1);
        if (now.mark === now.run.cycles.length - 1) play(false);
      }, STEP);
    }
    part("play-sign").textContent = on ? "❚❚" : "▶";
    part("play-word").textContent = on ? "pause" : "play";
  }

  for (const key of PICKS) {
    tool.querySelector(`[data-pick="${key}"]`).addEventListener("change", (event) => choose(key, event.target.value));
  }
  part("cycle").addEventListener("input", (event) => {
    play(false);
    go(Number(event.target.value));
  });
  part("play").addEventListener("click", () => play(timer === null));

  for (const picture of [part("path"), part("curve")]) {
    picture.addEventListener("keydown", (event) => {
      const last = now.run.cycles.length - 1;
      const to = { ArrowLeft: now.mark - 1, ArrowRight: now.mark + 1, Home: 0, End: last }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      play(false);
      go(to);
    });
  }
  for (const side of SIDES) {
    panes[side].addEventListener("click", (event) => {
      const place = event.target.dataset.token;
      if (place !== undefined) pick(side, Number(place));
    });
    panes[side].addEventListener("keydown", (event) => {
      const at = now.token !== null && now.token.side === side ? now.token.place : null;
      const last = text(side).tokens.length - 1;
      const to = { ArrowLeft: at === null ? last : at - 1, ArrowRight: at === null ? 0 : at + 1, Home: 0, End: last, Escape: null }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      pick(side, to);
    });
  }

  tool.hidden = false;
  show(data.runs[0]);
})();
