(() => {
    "use strict";
    const all = (selector, root = document) => [...root.querySelectorAll(selector)];
    const one = (selector, root = document) => root.querySelector(selector);
    const counted = new Intl.NumberFormat("en");

    // Colours: the system's, unless the reader has chosen.
    const root = document.documentElement;
    const system = matchMedia("(prefers-color-scheme: dark)");
    const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
    const theme = one("#theme");
    const nameTheme = () => {
        theme.textContent = isDark() ? "Light" : "Dark";
        theme.setAttribute("aria-label", (isDark() ? "Light" : "Dark") + " colours");
    };
    theme.addEventListener("click", () => {
        root.dataset.theme = isDark() ? "light" : "dark";
        try {
            localStorage.setItem("mlops-theme", root.dataset.theme);
        } catch {}
        nameTheme();
    });
    system.addEventListener("change", nameTheme);
    nameTheme();

    // What the reader filters and sorts by stands in the fragment, so that a link shows the same.
    // The keys of the first list are bare, those of the others begin with their section.
    const usual = { filter: "", status: "", sort: "status" };
    const readFragment = () => {
        const fragment = location.hash.slice(1);
        if (!fragment.includes("=")) return fragment;
        const given = new URLSearchParams(fragment);
        for (const { wanted, prefix } of catalogues) {
            for (const key of Object.keys(usual)) wanted[key] = given.get(prefix + key) ?? usual[key];
        }
        return "";
    };
    const writeFragment = () => {
        const given = new URLSearchParams();
        for (const { wanted, prefix } of catalogues) {
            for (const key of Object.keys(usual)) if (wanted[key] !== usual[key]) given.set(prefix + key, wanted[key]);
        }
        try {
            history.replaceState(null, "", "#" + given);
        } catch {}
    };

    const number = (text, none) => (text === "" ? none : Number(text));
    const byName = new Intl.Collator("en", { numeric: true });
    const orders = {
        status: (a, b) => b.tone - a.tone || a.order - b.order,
        score: (a, b) => b.score - a.score || a.order - b.order,
        name: (a, b) => byName.compare(a.name, b.name),
        order: (a, b) => a.place - b.place,
    };
    const catalogues = all(".catalogue").map((element, index) => {
        const list = one(".entries", element);
        const entries = [...list.children].map((item) => ({
            item,
            name: item.dataset.name,
            key: item.dataset.name.toLowerCase(),
            status: item.dataset.status,
            tone: Number(item.dataset.tone),
            score: number(item.dataset.score, -Infinity),
            order: Number(item.dataset.order),
            place: Number(/\d+$/.exec(item.id)?.[0] ?? item.dataset.order),
        }));
        const prefix = index === 0 ? "" : element.closest("section").id + ".";
        return { element, list, entries, prefix, wanted: { ...usual } };
    });
    const apply = () => {
        for (const catalogue of catalogues) {
            const { element, list, entries, wanted } = catalogue;
            const filter = wanted.filter.trim().toLowerCase();
            let shown = 0;
            for (const entry of entries) {
                const matches = entry.key.includes(filter) && (!wanted.status || entry.status === wanted.status);
                entry.item.hidden = !matches;
                shown += matches;
            }
            if (catalogue.sorted !== wanted.sort) {
                entries.sort(orders[wanted.sort] ?? orders.status);
                list.append(...entries.map((entry) => entry.item));
                catalogue.sorted = wanted.sort;
            }
            list.hidden = shown === 0;
            one(".none", element).hidden = shown > 0;
            one(".tools output", element).textContent =
                shown === entries.length ? "" : `${counted.format(shown)} of ${counted.format(entries.length)} shown`;
            const input = one("input[type=search]", element);
            if (input.value !== wanted.filter) input.value = wanted.filter;
            one("select", element).value = wanted.sort in orders ? wanted.sort : "status";
            for (const chip of all(".chips button", element)) {
                chip.setAttribute("aria-pressed", String(chip.dataset.status === wanted.status));
            }
        }
    };
    const want = (catalogue, changes) => {
        Object.assign(catalogue.wanted, changes);
        apply();
        writeFragment();
    };
    for (const catalogue of catalogues) {
        const { element, wanted } = catalogue;
        const input = one("input[type=search]", element);
        input.addEventListener("input", () => want(catalogue, { filter: input.value }));
        input.addEventListener("keydown", (event) => {
            if (event.key === "Escape") want(catalogue, { filter: "" });
        });
        one("select", element).addEventListener("change", (event) => want(catalogue, { sort: event.target.value }));
        for (const chip of all(".chips button", element)) {
            chip.addEventListener("click", () => {
                want(catalogue, { status: wanted.status === chip.dataset.status ? "" : chip.dataset.status });
            });
        }
        const open = one("[data-open]", element);
        open.addEventListener("click", () => {
            const opening = open.textContent.startsWith("Open");
            for (const details of all(":scope > .entries > li:not([hidden]) > details", element)) details.open = opening;
            open.textContent = opening ? "Close all" : "Open all shown";
        });
    }
    for (const button of all("[data-pick]")) {
        button.addEventListener("click", () => {
            const section = button.closest("section");
            const catalogue = catalogues.find(({ element }) => section.contains(element)) ?? catalogues[0];
            if (!catalogue) return;
            want(catalogue, { status: button.dataset.pick, filter: "" });
            catalogue.element.scrollIntoView();
        });
    }

    // A link to an entry opens it, even if it is filtered out.
    const follow = () => {
        const target = document.getElementById(readFragment());
        if (target?.matches(".entries > li")) {
            const catalogue = catalogues.find(({ element }) => element.contains(target));
            if (target.hidden) Object.assign(catalogue.wanted, { filter: "", status: "" });
            apply();
            one("details", target).open = true;
            target.scrollIntoView({ block: "start", behavior: "instant" });
            return;
        }
        apply();
    };
    addEventListener("hashchange", follow);
    follow();

    document.addEventListener("keydown", (event) => {
        const typing = event.target.closest?.("input, select, textarea");
        const input = one(".catalogue input[type=search]");
        if (event.key === "/" && !typing && input) {
            event.preventDefault();
            input.focus();
        }
    });

    // What is under the pointer, or under the arrow keys, in numbers.
    const round = (value) => {
        const size = Math.abs(value);
        return size !== 0 && (size < 1e-3 || size >= 1e7) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
    };
    const percent = (share) => (share > 0 && share < 0.001 ? "<0.1" : (100 * share).toFixed(1)) + "%";
    const heights = (svg, name) =>
        [...(one("path." + name, svg)?.getAttribute("d") ?? "").matchAll(/V(\d+)h/g)].map(
            (match) => (1 - match[1] / 1000) * Number(svg.dataset.top),
        );
    const points = (svg) => {
        if (svg.dataset.series) {
            const names = all(".legend span", svg.closest("figure")).map((name) => name.textContent.toLowerCase());
            const series = svg.dataset.series.split("\n").map((values) => values.split(" "));
            return svg.dataset.labels.split("\n").map(
                (label, index) => label + ": " + series.map((values, line) => `${names[line]} ${values[index]}`).join(", "),
            );
        }
        const [reference, current] = [heights(svg, "reference"), heights(svg, "current")];
        const names = svg.dataset.names ? svg.dataset.names.split("\n") : null;
        const [from, to] = svg.dataset.range ? svg.dataset.range.split(" ").map(Number) : [0, 1];
        const edge = (index) => round(from + ((to - from) * index) / reference.length);
        return reference.map((share, index) => {
            const where = names ? names[index] : `${edge(index)} to ${edge(index + 1)}`;
            return `${where}: reference ${percent(share)}, current ${percent(current[index])}`;
        });
    };
    const readouts = new WeakMap();
    const say = (svg, place) => {
        if (!readouts.has(svg)) readouts.set(svg, { texts: points(svg), at: -1 });
        const known = readouts.get(svg);
        known.at = Math.min(known.texts.length - 1, Math.max(0, place(known)));
        one(".readout", svg.closest("figure")).textContent = known.texts[known.at] ?? "";
    };
    const chart = (event) => event.target.closest?.(".plot > svg");
    document.addEventListener("pointermove", (event) => {
        const svg = chart(event);
        if (!svg) return;
        const box = svg.getBoundingClientRect();
        say(svg, ({ texts }) => Math.floor(((event.clientX - box.left) / box.width) * texts.length));
    });
    document.addEventListener("keydown", (event) => {
        const svg = chart(event);
        const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (!svg || !step) return;
        event.preventDefault();
        say(svg, ({ at }) => at + step);
    });

    // Where the reader is.
    const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
    const seen = new IntersectionObserver(
        (changes) => {
            for (const { target, isIntersecting } of changes) {
                if (!isIntersecting) continue;
                for (const link of links.values()) link.removeAttribute("aria-current");
                links.get(target.id)?.setAttribute("aria-current", "true");
            }
        },
        { rootMargin: "-20% 0px -70% 0px" },
    );
    for (const id of links.keys()) {
        const section = document.getElementById(id);
        if (section) seen.observe(section);
    }

    // On paper, what has changed stands open.
    let opened = [];
    addEventListener("beforeprint", () => {
        opened = all(".entries > li:not([hidden]) > details:not([open])").filter(
            (details) => Number(details.parentElement.dataset.tone) >= 3,
        );
        for (const details of opened.slice(0, 50)) details.open = true;
    });
    addEventListener("afterprint", () => {
        for (const details of opened) details.open = false;
    });

    one("#save")?.addEventListener("click", () => {
        const blob = new Blob([one("#data").textContent], { type: "application/json" });
        const link = document.createElement("a");
        link.href = URL.createObjectURL(blob);
        link.download = "report.json";
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
})();
