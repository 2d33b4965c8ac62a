"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const dashes = ["", "7 3", "2 3", "9 3 2 3", "4 2 1 2", "12 4", "1 2", "6 2 2 2 2 2"];
const HEIGHT = 230, TOP = 8, BOTTOM = 24;

// Everything is made with createElement and textContent: nothing from the run can become markup.
function html(name, attributes, ...children) {
	return fill(document.createElement(name), attributes, children);
}
function svg(name, attributes, ...children) {
	return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}
function fill(element, attributes, children) {
	for (const key in attributes)
		element.setAttribute(key, attributes[key]);
	element.append(...children);
	return element;
}

function number(v) {
	if (v === null || v === undefined)
		return "not a number";
	const size = Math.abs(v);
	if (size !== 0 && (size >= 1e6 || size < 1e-3))
		return v.toExponential(2).replace("e+", "e");
	return String(+v.toPrecision(4));
}
function bytes(v) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let u = 0;
	while (Math.abs(v) >= 1024 && u < units.length - 1) {
		v /= 1024;
		u++;
	}
	return String(+v.toPrecision(3)) + " " + units[u];
}
function seconds(v) {
	if (v < 0.9995)
		return +(v * 1000).toPrecision(3) + " ms";
	return +v.toPrecision(3) + " s";
}
function clock(v) {
	if (v < 60)
		return +v.toFixed(v < 2 ? 2 : 1) + " s";
	const s = Math.round(v), two = n => String(n).padStart(2, "0");
	return s < 3600 ? Math.floor(s / 60) + ":" + two(s % 60) : Math.floor(s / 3600) + ":" + two(Math.floor(s % 3600 / 60)) + ":" + two(s % 60);
}

// Round numbers from low to high, about count of them. base is 2 for bytes and 60 for times.
function ticks(low, high, count, base) {
	const span = high - low, rough = span / count;
	let step;
	if (base === 2) {
		step = 2 ** Math.ceil(Math.log2(rough));
	} else if (base === 60 && rough > 10) {
		step = [15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200].find(s => s >= rough) || 86400 * Math.ceil(rough / 86400);
	} else {
		const power = 10 ** Math.floor(Math.log10(rough));
		step = power * [1, 2, 5, 10].find(s => s * power >= rough * 0.999);
	}
	const list = [];
	for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-9; v += step)
		list.push(Math.abs(v) < step * 1e-9 ? 0 : v);
	return list;
}

// The curve of points [[x, y or null], ...]; it breaks where there is no value and where x goes back (a new attempt).
function trace(points, x, y) {
	let d = "", open = false, before = -Infinity;
	for (const [px, py] of points) {
		if (py === null || px === null || px < before)
			open = false;
		if (py !== null && px !== null) {
			d += (open ? "L" : "M") + x(px).toFixed(1) + " " + y(py).toFixed(1);
			if (!open)
				d += "h.1";
			open = true;
			before = px;
		}
	}
	return d;
}

function nearest(points, at) {
	let best = null;
	for (const p of points)
		if (p[0] !== null && (best === null || Math.abs(p[0] - at) < Math.abs(best[0] - at)))
			best = p;
	return best;
}

// whole: from the start of the run to its end, so that charts of time stand under one another.
function bounds(series, {zero, limit, whole}) {
	const b = {x0: Infinity, x1: -Infinity, y0: zero ? 0 : Infinity, y1: zero ? 0 : -Infinity};
	for (const s of series)
		for (const [px, py] of s.points) {
			if (px === null || py === null)
				continue;
			b.x0 = Math.min(b.x0, px);
			b.x1 = Math.max(b.x1, px);
			b.y0 = Math.min(b.y0, py);
			b.y1 = Math.max(b.y1, py);
		}
	if (limit && limit < b.y1 * 4)
		b.y1 = Math.max(b.y1, limit);
	if (!isFinite(b.x0))
		return null;
	if (whole) {
		b.x0 = 0;
		b.x1 = Math.max(b.x1, data.seconds || 0);
	}
	if (b.x1 === b.x0)
		b.x1 = b.x0 + 1;
	if (b.y1 === b.y0) {
		b.y1 += Math.abs(b.y1) * 0.1 || 1;
		b.y0 -= zero ? 0 : Math.abs(b.y0) * 0.1 || 1;
	}
	// More above a limit, whose name stands on it.
	const room = (b.y1 - b.y0) * (limit && b.y1 === limit ? 0.13 : 0.05);
	b.y1 += room;
	b.y0 -= zero ? 0 : room;
	return b;
}

// A chart: {title, unit, series: [{label, short, points, number}], format, base, zero, limit, whole, xname, xformat, xbase}. It draws itself anew
// when its width or a choice changes.
function chart(place, chosen) {
	const figure = place.appendChild(html("figure", {class: "chart"}));
	const legend = html("div", {class: "legend"}), hidden = new Set();
	let c, shown, width = 0;

	function draw() {
		c = chosen();
		shown = c.series.filter(s => !hidden.has(s.label));
		const title = html("h3", {}, c.title, html("small", {}, c.unit || ""));
		const old = figure.querySelector("svg:not(.legend svg)");
		if (!old)
			figure.append(title, legend);
		const b = bounds(shown, c), picture = svg("svg", {viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "img", "aria-label": describe()});
		if (old)
			old.replaceWith(picture);
		else
			legend.before(picture);
		if (b)
			paint(picture, b);
		else
			picture.append(svg("text", {x: width / 2, y: HEIGHT / 2, "text-anchor": "middle"}, shown.length ? "no values" : "nothing chosen"));
		list();
	}

	function describe() {
		const words = c.series.slice(0, 8).map(s => {
			const values = s.points.map(p => p[1]).filter(v => v !== null);
			return values.length ? `${s.label} from ${c.format(values[0])} to ${c.format(values[values.length - 1])}` : s.label + " without values";
		});
		return c.title + ": " + words.join(", ");
	}

	function paint(picture, b) {
		const ys = ticks(b.y0, b.y1, 5, c.base), labels = ys.map(c.format);
		const left = Math.max(...labels.map(t => t.length)) * 6.6 + 12, right = width - (shown.length <= 8 ? 26 : 8);
		const x = v => left + (v - b.x0) / (b.x1 - b.x0) * (right - left), y = v => HEIGHT - BOTTOM - (v - b.y0) / (b.y1 - b.y0) * (HEIGHT - BOTTOM - TOP);
		ys.forEach((v, i) => picture.append(svg("line", {class: "grid", x1: left, x2: right, y1: y(v), y2: y(v)}),
			svg("text", {x: left - 6, y: y(v) + 4, "text-anchor": "end"}, labels[i])));
		for (const v of ticks(b.x0, b.x1, Math.max(2, (right - left) / 90), c.xbase))
			picture.append(svg("text", {x: x(v), y: HEIGHT - 6, "text-anchor": "middle"}, c.xformat(v)));
		if (c.limit && c.limit <= b.y1)
			picture.append(svg("line", {class: "limit", x1: left, x2: right, y1: y(c.limit), y2: y(c.limit)}),
				svg("text", {x: left + 4, y: y(c.limit) - 4}, "limit " + c.format(c.limit)));
		for (const s of shown) {
			const seen = s.points.filter(p => p[0] !== null && p[1] !== null);
			if (seen.length === 1) // of a single value there is no curve
				picture.append(svg("circle", {cx: x(seen[0][0]), cy: y(seen[0][1]), r: 2.5, fill: colour(s)}));
			picture.append(svg("path", {d: trace(s.points, x, y), stroke: colour(s), "stroke-dasharray": dash(s), "stroke-opacity": c.series.length > 8 ? 0.6 : 0.9}));
		}
		if (shown.length <= 8)
			name(picture, y, right);
		follow(picture, b, x, left, right);
	}

	// The name of each curve at its end, pushed apart where they would overlap.
	function name(picture, y, right) {
		const ends = shown.map(s => ({s, last: s.points.filter(p => p[1] !== null).pop()})).filter(e => e.last)
			.map(e => ({s: e.s, y: y(e.last[1])})).sort((a, b) => a.y - b.y);
		for (let i = 1; i < ends.length; i++)
			ends[i].y = Math.max(ends[i].y, ends[i - 1].y + 13);
		const over = ends.length ? ends[ends.length - 1].y - (HEIGHT - BOTTOM) : 0;
		for (const e of ends)
			picture.append(svg("text", {class: "end", x: right + 4, y: e.y - Math.max(0, over) + 4, style: `fill:${colour(e.s)}`}, e.s.short));
	}

	function follow(picture, b, x, left, right) {
		const cursor = svg("line", {class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden"});
		picture.append(cursor);
		let tip = null;
		const leave = () => {
			cursor.setAttribute("visibility", "hidden");
			if (tip)
				tip.remove();
			tip = null;
		};
		picture.addEventListener("pointerleave", leave);
		picture.addEventListener("pointermove", event => {
			const px = (event.clientX - picture.getBoundingClientRect().left) * width / picture.clientWidth;
			if (px < left || px > right)
				return leave();
			const at = b.x0 + (px - left) / (right - left) * (b.x1 - b.x0), found = shown.slice(0, 16).map(s => ({s, p: nearest(s.points, at)})).filter(f => f.p);
			cursor.setAttribute("visibility", "visible");
			cursor.setAttribute("x1", px);
			cursor.setAttribute("x2", px);
			if (!tip)
				tip = figure.appendChild(html("div", {class: "tip"}));
			tip.replaceChildren(html("div", {}, `${c.xname} ${c.xformat(found.length ? found[0].p[0] : at)}`),
				...found.map(f => html("div", {style: `color:${colour(f.s)}`}, `${f.s.label}: ${f.p[1] === null ? "not a number" : c.format(f.p[1])}`)));
			tip.setAttribute("style", px > width / 2 ? `right:${width - px + 10}px` : `left:${px + 10}px`);
		});
	}

	function colour(s) {
		return `var(--c${s.number % 8})`;
	}

	// Sixty-four pairs of colour and pattern before one comes again.
	function dash(s) {
		return dashes[(s.number + Math.floor(s.number / 8)) % 8];
	}

	function list() {
		legend.replaceChildren(...(c.series.length < 2 ? [] : c.series.map(s => {
			const button = html("button", {type: "button", "aria-pressed": String(!hidden.has(s.label))},
				svg("svg", {"aria-hidden": "true"}, svg("path", {d: "M0 5h26", stroke: colour(s), "stroke-dasharray": dash(s), style: "stroke-width:2"})), s.label);
			button.addEventListener("click", () => {
				if (!hidden.delete(s.label))
					hidden.add(s.label);
				draw();
			});
			return button;
		})));
	}

	new ResizeObserver(() => requestAnimationFrame(() => {
		if (figure.clientWidth && figure.clientWidth !== width) {
			width = figure.clientWidth;
			draw();
		}
	})).observe(figure);
	return () => width && draw();
}

const redraws = [];
let by_step = true;

function over_time(more) {
	return Object.assign({xname: "after", xformat: clock, xbase: 60}, more);
}

// The curves of one metric, by step or by time. Points are [t, step, value].
function curves(metric, more) {
	const steps = metric.series.some(s => s.points.some(p => p[1] !== null));
	return () => {
		const use = steps && by_step ? 1 : 0;
		const series = metric.series.map((s, i) => ({label: s.rank === undefined ? "node " + s.node : "rank " + s.rank,
			short: String(s.rank === undefined ? s.node : s.rank), number: i, points: s.points.map(p => [p[use], p[2]])}));
		return Object.assign(over_time(use ? {xname: "step", xformat: v => String(+v.toFixed(2)), xbase: 10} : {}),
			{title: metric.name, unit: metric.unit, series, format: number}, more);
	};
}

function draw_metrics() {
	const place = document.getElementById("metrics"), iterations = data.iterations;
	if (!place)
		return;
	const timed = m => iterations && iterations.metric === m.name;
	const plain = data.metrics.filter(m => !timed(m));
	for (const metric of plain.slice(0, 40))
		redraws.push(chart(place, curves(metric, {})));
	for (const metric of data.metrics.filter(timed))
		redraws.push(chart(place, curves(metric, {title: "Iteration time", unit: metric.name, format: seconds, zero: true})));
	if (iterations && iterations.series)
		redraws.push(chart(place, curves({name: "", series: iterations.series}, {title: "Iteration time", unit: "from progress", format: seconds, zero: true})));
	if (!data.metrics.some(m => m.series.some(s => s.points.some(p => p[1] !== null))))
		return;
	const axis = document.getElementById("axis"), buttons = ["by step", "by time"].map((label, i) => {
		const button = html("button", {type: "button", "aria-pressed": String(i === 0)}, label);
		button.addEventListener("click", () => {
			by_step = i === 0;
			buttons.forEach((b, k) => b.setAttribute("aria-pressed", String(k === i)));
			redraws.forEach(redraw => redraw());
		});
		return button;
	});
	axis.append(...buttons);
}

function draw_nodes() {
	const place = document.getElementById("nodes"), kinds = [
		{name: "cpu", title: "CPU", unit: "cores in use", format: number, limit: "cpus"},
		{name: "memory", title: "Memory", unit: "in use", format: bytes, base: 2, limit: "memory"},
		{name: "rx", title: "Network received", unit: "per second", format: bytes, base: 2},
		{name: "tx", title: "Network sent", unit: "per second", format: bytes, base: 2},
		{name: "read", title: "Disk read", unit: "per second", format: bytes, base: 2},
		{name: "write", title: "Disk written", unit: "per second", format: bytes, base: 2},
	];
	for (const kind of kinds) {
		const series = data.samples.nodes.filter(n => n[kind.name]).map(n => ({
			label: data.nodes[n.node] && data.nodes[n.node].name || "node " + n.node, short: String(n.node), number: n.node, points: n[kind.name].points}));
		const limits = kind.limit ? data.nodes.map(n => n[kind.limit]) : [];
		// A curve that never leaves zero says less than its absence.
		if (series.some(s => s.points.some(p => p[1])))
			chart(place, () => over_time(Object.assign({}, kind, {series, zero: true, whole: true, limit: limits.length && limits.every(v => v && v === limits[0]) ? limits[0] : 0})));
	}
}

draw_metrics();
draw_nodes();
const values = document.getElementById("values");
if (values)
	values.open = false;
for (const image of document.querySelectorAll(".images img"))
	image.addEventListener("click", () => image.parentNode.classList.toggle("big"));
})();
