// The bar from issue to the end of grace, and the words beside it. Knows no network and no clock of its own.

const byId = (id) => document.getElementById(id);
const PHASES = ["fresh", "due", "grace", "over"];
// A segment stays wide enough to be seen, however short it is beside the others; 0 takes none.
const NARROWEST = 0.2;

export function clockTime(at) {
  return new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
}

export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days) return hours ? `${days} d ${hours} h` : `${days} d`;
  if (hours && !minutes) return `${hours} h`;
  if (hours) return `${hours} h ${String(minutes).padStart(2, "0")} min`;
  if (minutes && whole % 60 === 0) return `${minutes} min`;
  if (minutes) return `${minutes}:${String(whole % 60).padStart(2, "0")} min`;
  return `${whole} s`;
}

// Shares of the bar for issue to update age, to expiry, to the end of grace.
export function shares(edges) {
  const spans = [0, 1, 2].map((index) => edges[index + 1] - edges[index]);
  const whole = spans.reduce((sum, span) => sum + span, 0) || 1;
  const raised = spans.map((span) => (span > 0 ? Math.max(span / whole, NARROWEST) : 0));
  const sum = raised.reduce((total, width) => total + width, 0) || 1;
  return raised.map((width) => width / sum);
}

export function divide(element, widths) {
  element.style.gridTemplateColumns = widths.map((width) => `minmax(0, ${width}fr)`).join(" ");
}

export class Timeline {
  #edges = [0, 0, 0, 0];
  #stops = [0, 0, 0, 1];
  #absoluteEnd = Infinity;
  #jumping = 0;

  // `claims` and `policy` as the server gave them; `jump` makes the marker's way back visible.
  show(claims, policy, jump) {
    const end = claims.exp + policy.gracePeriod;
    const update = Math.min(claims.iat + policy.updateAge, claims.exp);
    this.#edges = [claims.iat, update, claims.exp, end];
    this.#absoluteEnd = (claims.auth_time || claims.iat) + policy.absoluteAge;
    const widths = shares(this.#edges);
    divide(byId("track"), widths);
    divide(byId("ticks"), widths);
    // Two names for one moment would stand on top of each other.
    byId("at-update").closest("li").hidden = widths[0] === 0 || widths[1] === 0;
    byId("at-end").closest("li").hidden = widths[2] === 0;
    this.#stops = [0, widths[0], widths[0] + widths[1], 1];
    ["issued", "update", "expiry", "end"].forEach((name, index) => {
      byId(`at-${name}`).textContent = clockTime(this.#edges[index]);
      byId(`at-${name}`).dateTime = new Date(this.#edges[index] * 1000).toISOString();
    });
    byId("again").hidden = true;
    if (jump) this.#jump();
  }

  #jump() {
    const card = byId("timeline");
    card.classList.add("jump");
    clearTimeout(this.#jumping);
    this.#jumping = setTimeout(() => card.classList.remove("jump"), 900);
  }

  phase(now) {
    const [, update, expiry, end] = this.#edges;
    return PHASES[now < update ? 0 : now < expiry ? 1 : now < end ? 2 : 3];
  }

  tick(now) {
    const [issued, update, expiry, end] = this.#edges;
    const phase = this.phase(now);
    const texts = {
      fresh: ["Fresh", expiry, `Asking for it changes nothing yet; renewal is due in ${duration(update - now)}.`],
      due: ["Due for renewal", expiry, "The next use gets a new cookie, and the clock starts again."],
      grace: ["Expired, in grace", end, "The next use still renews it silently. Without one, it ends for good."],
      over: ["Ended", now, "It expired, and nobody used it while there was grace."],
    };
    const [title, until, explanation] = texts[phase];
    byId("timeline").dataset.phase = phase;
    byId("phase").textContent = title;
    byId("remaining").textContent = phase === "over" ? "No session" : `${duration(until - now)} left`;
    const last = expiry >= this.#absoluteEnd;
    byId("explain").textContent = last && phase !== "over" ? this.#lastWords(phase) : explanation;
    byId("marker").style.left = `${(this.#place(now) * 100).toFixed(2)}%`;
    byId("in-issued").textContent = `${duration(now - issued)} ago`;
    for (const [name, at] of [["update", update], ["expiry", expiry], ["end", end]]) {
      byId(`in-${name}`).textContent = now < at ? `in ${duration(at - now)}` : "passed";
    }
    return phase;
  }

  #lastWords(phase) {
    const at = clockTime(this.#absoluteEnd);
    return phase === "grace" ? `It reached its absolute age at ${at}: no use renews it.` : `Its absolute age ends it at ${at}: no use renews it further.`;
  }

  // Whatever the bar says, the server has the last word.
  end(title, explanation) {
    byId("timeline").dataset.phase = "over";
    byId("phase").textContent = title;
    byId("remaining").textContent = "No session";
    for (const name of ["issued", "update", "expiry", "end"]) byId(`in-${name}`).textContent = "";
    byId("explain").textContent = explanation;
    byId("again").hidden = false;
  }

  #place(now) {
    const edges = this.#edges;
    if (now <= edges[0]) return 0;
    for (let index = 0; index < 3; index += 1) {
      const [from, to] = [edges[index], edges[index + 1]];
      if (now < to) {
        return this.#stops[index] + ((now - from) / (to - from)) * (this.#stops[index + 1] - this.#stops[index]);
      }
    }
    return 1;
  }
}
