"use strict";
// Sorts and searches the lists of the page. All rows are data in the page; of each list only as many are in the document as are
// looked at, so that 20,000 rows open and scroll as fast as 20.
(function () {
  var FIRST = 100, STEP = 1000;
  var collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  var count = new Intl.NumberFormat();
  var units = ["bytes", "kB", "MB", "GB", "TB"];

  function fold(text) {
    return text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
  }

  function pad(number) {
    return (number < 10 ? "0" : "") + number;
  }

  function show(value, kind) {
    if (value === null) return "";
    if (typeof value === "string") return value;
    if (kind === "share") return Math.floor(value * 100 + 1e-9) + "%"; // 99.6 % is not all of it
    if (kind === "duration") {
      var s = Math.round(value), h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
      return h ? h + ":" + pad(m) + ":" + pad(s % 60) : m + ":" + pad(s % 60);
    }
    if (kind === "size") {
      var unit = 0;
      while (value >= 1000 && unit < units.length - 1) { value /= 1000; unit++; }
      return (unit ? value.toFixed(1) : value) + " " + units[unit];
    }
    return count.format(value);
  }

  function List(table) {
    var list = this;
    this.name = table.dataset.table;
    this.body = table.tBodies[0];
    this.more = document.querySelector('[data-more="' + this.name + '"]');
    this.card = document.querySelector('[data-count="' + this.name + '"]');
    this.heads = Array.prototype.slice.call(table.tHead.rows[0].cells);
    this.labels = this.heads.map(function (th) { return th.textContent; });
    this.kinds = this.heads.map(function (th) { return th.dataset.kind; });
    this.rows = JSON.parse(document.getElementById("data-" + this.name).textContent);
    this.folded = null;
    this.words = [];
    this.order = this.rows.map(function (_, number) { return number; });
    this.sorted = { column: -1, down: false };
    this.limit = FIRST;
    this.grouped = this.heads[0].dataset.name === "group";
    this.heads.forEach(function (th, column) {
      var button = document.createElement("button");
      button.type = "button";
      button.textContent = th.textContent;
      button.addEventListener("click", function () { list.sort(column); });
      th.textContent = "";
      th.appendChild(button);
    });
    this.find([]);
  }

  List.prototype.sort = function (column) {
    var rows = this.rows, kind = this.kinds[column], text = kind === "text" || kind === "path";
    // Numbers are most telling from the top, names from A.
    this.sorted = { column: column, down: this.sorted.column === column ? !this.sorted.down : !text };
    var sign = this.sorted.down ? -1 : 1;
    this.order.sort(function (a, b) {
      var x = rows[a][column], y = rows[b][column];
      if (x === null || x === "" || y === null || y === "") {
        var none = (x === null || x === "" ? 1 : 0) - (y === null || y === "" ? 1 : 0);
        return none || a - b; // what is not known comes last, whichever way
      }
      return sign * (text ? collator.compare(x, y) : x - y) || a - b;
    });
    this.heads.forEach(function (th, number) {
      if (number === column) th.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      else th.removeAttribute("aria-sort");
    });
    this.find(this.words);
  };

  List.prototype.find = function (words) {
    this.words = words;
    if (words.length && !this.folded) {
      this.folded = this.rows.map(function (row) {
        return fold(row.filter(function (value) { return typeof value === "string"; }).join("\n"));
      });
    }
    var folded = this.folded;
    this.shown = words.length
      ? this.order.filter(function (number) {
          return words.every(function (word) { return folded[number].indexOf(word) >= 0; });
        })
      : this.order;
    this.limit = FIRST;
    this.body.textContent = "";
    this.fill();
    this.card.textContent = count.format(this.shown.length);
  };

  List.prototype.fill = function () {
    var fragment = document.createDocumentFragment();
    for (var n = this.body.rows.length; n < Math.min(this.limit, this.shown.length); n++) {
      fragment.appendChild(this.line(n));
    }
    this.body.appendChild(fragment);
    this.tell();
  };

  List.prototype.line = function (n) {
    var row = this.rows[this.shown[n]], tr = document.createElement("tr");
    for (var c = 0; c < row.length; c++) {
      var td = document.createElement("td");
      td.className = this.kinds[c];
      td.dataset.label = this.labels[c];
      td.dir = "auto";
      if (this.kinds[c] === "share" && row[c] !== null) {
        var meter = document.createElement("meter");
        meter.min = 0; meter.max = 1; meter.value = row[c];
        td.appendChild(meter);
        td.appendChild(document.createTextNode(" "));
      }
      td.appendChild(document.createTextNode(show(row[c], this.kinds[c])));
      tr.appendChild(td);
    }
    if (this.grouped && this.sorted.column <= 0 && n > 0 && this.rows[this.shown[n - 1]][0] !== row[0]) tr.className = "first";
    return tr;
  };

  List.prototype.tell = function () {
    var list = this, there = this.body.rows.length, all = this.shown.length;
    this.more.textContent = "";
    if (there === all) {
      if (this.words.length) this.more.textContent = all ? count.format(all) + " of " + count.format(this.rows.length) + " rows." : "No row has that.";
      return;
    }
    this.more.textContent = count.format(there) + " of " + count.format(all) + " rows.";
    var steps = [[Math.min(STEP, all - there), "Show " + count.format(Math.min(STEP, all - there)) + " more"]];
    if (all - there > STEP) steps.push([all - there, "Show all"]);
    steps.forEach(function (step) {
      var button = document.createElement("button");
      button.type = "button";
      button.textContent = step[1];
      button.addEventListener("click", function () {
        var next = list.body.rows.length;
        list.limit = next + step[0];
        list.fill();
        // The button is gone: the keyboard goes on at the first new row.
        list.body.rows[next].tabIndex = -1;
        list.body.rows[next].focus({ preventScroll: true });
      });
      list.more.appendChild(button);
    });
  };

  var lists = Array.prototype.map.call(document.querySelectorAll("table[data-table]"), function (table) { return new List(table); });
  var form = document.getElementById("search"), query = document.getElementById("query"), hits = document.getElementById("hits"), timer = 0;

  function search() {
    var words = fold(query.value).split(/\s+/).filter(Boolean), found = 0;
    lists.forEach(function (list) { list.find(words); found += list.shown.length; });
    hits.textContent = words.length ? count.format(found) + (found === 1 ? " row" : " rows") : "";
  }

  form.hidden = lists.length === 0;
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  query.addEventListener("input", function () { clearTimeout(timer); timer = setTimeout(search, 120); });
  document.addEventListener("keydown", function (event) {
    if (event.key === "/" && document.activeElement !== query && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      query.focus();
    } else if (event.key === "Escape" && document.activeElement === query && query.value) {
      query.value = "";
      search();
    }
  });
  var changed = new Date(document.lastModified);
  if (!isNaN(changed)) document.getElementById("changed").textContent = "Last changed " + changed.toLocaleString() + ".";
})();
