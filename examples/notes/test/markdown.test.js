import assert from "node:assert/strict"
import { test } from "node:test"
import { read, textOf, TAGS } from "../build/text/markdown.js"

const reading = { isThere: title => title === "Soup" }

/** What a note looks like, as HTML would say it. */
const html = views =>
  views
    .map(view => {
      if (typeof view === "string") return view.replaceAll("&", "&amp;").replaceAll("<", "&lt;")
      const attributes = Object.entries(view.attributes).map(([name, value]) => ` ${name}="${value}"`)
      return `<${view.tag}${attributes.join("")}>${html(view.children)}</${view.tag}>`
    })
    .join("")

const cases = (name, table) =>
  test(name, () => {
    for (const [body, expected] of table) assert.equal(html(read(body, reading).views), expected, body)
  })

cases("blocks", [
  ["a\nb", "<p>a<br></br>b</p>"],
  ["# Über *uns*", '<h2 id="h-über-uns">Über <em>uns</em></h2>'],
  ["> quoted", "<blockquote><p>quoted</p></blockquote>"],
  ["> [!tip] Look\n> here", '<blockquote class="callout tip"><p class="callout-title">Look</p><p>here</p></blockquote>'],
  ["3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'],
  ["```js\nlet a = 1 < 2\n```", '<pre tabindex="0" data-language="js"><code>let a = 1 &lt; 2</code></pre>'],
  ["---\n\ntext", "<hr></hr><p>text</p>"],
  ["---\nauthor: Ann\n---\ntext", '<dl class="properties"><dt>author</dt><dd>Ann</dd></dl><p>text</p>'],
])

cases("words", [
  ["**a** _b_ ~~c~~ ==d== `e`", "<p><strong>a</strong> <em>b</em> <del>c</del> <mark>d</mark> <code>e</code></p>"],
  ["[[Soup]]", '<p><a class="wiki" href="#" data-note="Soup">Soup</a></p>'],
  ["[[Soup#Salt|the soup]]", '<p><a class="wiki" href="#" data-note="Soup" data-heading="Salt">the soup</a></p>'],
  ["[[Bread]]", '<p><a class="wiki missing" href="#" data-note="Bread" title="Not written yet">Bread</a></p>'],
  ["a #Food/Soup b #12", '<p>a <a class="tag" href="#" data-tag="food/soup">#Food/Soup</a> b #12</p>'],
  ["[s](Recipes/Soup%20of%20day.md)", '<p><a class="wiki" href="#" data-note="Soup of day">s</a></p>'],
  ["1 &lt; 2 &amp; &#x41; &nosuch;", "<p>1 &lt; 2 &amp; A &amp;nosuch;</p>"],
  ["press <kbd>K</kbd><br>now", "<p>press <kbd>K</kbd><br></br>now</p>"],
  ["an open <kbd> stays", "<p>an open &lt;kbd> stays</p>"],
])

test("tasks are numbered in their order, and say what they are", () => {
  const page = read("- [ ] one\n- [x] two\n  - [ ] three", reading)
  assert.deepEqual(page.tasks, [false, true, false])
  const found = html(page.views)
  for (const [at, label] of ["one", "two", "three"].entries()) {
    assert.match(found, new RegExp(`data-task="${at}" aria-label="${label}"`))
  }
  assert.equal(found.match(/checked=""/g).length, 1)
})

test("headings leave no level out, wherever they begin", () => {
  const levels = body => [...shapes(read(body, reading).views)].map(({ tag }) => tag).filter(tag => /^h\d/.test(tag))
  assert.deepEqual(levels("## a\n#### b\n## c\n# d\n###### e"), ["h2", "h3", "h2", "h2", "h3"])
  assert.deepEqual(levels("# a\n## b\n### c\n#### d\n##### e\n###### f"), ["h2", "h3", "h4", "h5", "h6", "h6"])
})

test("headings make an outline, each with an address of its own", () => {
  const { headings } = read("# A\n\n## B\n\n# A", reading)
  assert.deepEqual(
    headings.map(({ depth, text, id }) => [depth, text, id]),
    [
      [1, "A", "h-a"],
      [2, "B", "h-b"],
      [1, "A", "h-a-1"],
    ],
  )
})

/** What people who mean harm write. None of it may become more than words, or a link that a person has to click. */
const HOSTILE = [
  `<script>alert(1)</script>`,
  `<img src=x onerror=alert(1)>`,
  `<svg onload=alert(1)>`,
  `<svg><script>alert(1)</script></svg>`,
  `<iframe src="javascript:alert(1)"></iframe>`,
  `<object data="javascript:alert(1)"></object>`,
  `<style>*{background:url(https://evil.example/x)}</style>`,
  `<link rel=stylesheet href=https://evil.example/x.css>`,
  `<meta http-equiv=refresh content="0;url=https://evil.example">`,
  `<base href="https://evil.example/">`,
  `<form action="https://evil.example"><input name=a><button>go</button></form>`,
  `<a href="javascript:alert(1)">x</a>`,
  `<kbd onclick=alert(1)>x</kbd>`,
  `<mark style="position:fixed;inset:0">x</mark>`,
  `<math><mtext></mtext><mglyph><style><img src=x onerror=alert(1)></style></mglyph></math>`,
  `<details open ontoggle=alert(1)>x</details>`,
  `[x](javascript:alert(1))`,
  `[x](JaVaScRiPt:alert(1))`,
  `[x]( javascript:alert(1))`,
  `[x](java\tscript:alert(1))`,
  `[x](<java\nscript:alert(1)>)`,
  `[x](&#106;avascript:alert(1))`,
  `[x](&#x6A;&#x61;vascript&colon;alert(1))`,
  `[x](\u0001javascript:alert(1))`,
  `[x](\u200bjavascript:alert(1))`,
  `[x](javascript&Tab;:alert(1))`,
  `[x](vbscript:msgbox(1))`,
  `[x](data:text/html,<script>alert(1)</script>)`,
  `[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)`,
  `[x](file:///etc/passwd)`,
  `[x](blob:https://evil.example/1)`,
  `[x](//evil.example/x)`,
  `[x](\\\\evil.example\\x)`,
  `[x](/_selvedge/sync)`,
  `[x](view-source:https://a.example)`,
  `<javascript:alert(1)>`,
  `[x]: javascript:alert(1)\n\n[x]`,
  `![x](https://evil.example/pixel.gif)`,
  `![x](//evil.example/pixel.gif)`,
  `![x](data:image/svg+xml,<svg onload=alert(1)>)`,
  `![x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)`,
  `![x](data:image/png;base64,AAAA" onerror="alert(1))`,
  `![x](javascript:alert(1))`,
  `![x" onerror="alert(1)](https://evil.example/x.png)`,
  `[x](https://ok.example "title" onmouseover="alert(1))`,
  `[x" onmouseover="alert(1)](https://ok.example)`,
  `[[x" onmouseover="alert(1)]]`,
  `[[<img src=x onerror=alert(1)>]]`,
  `[[javascript:alert(1)]]`,
  `#<script>alert(1)</script>`,
  '```"><script>alert(1)</script>\nx\n```',
  "`<script>alert(1)</script>`",
  "# <img src=x onerror=alert(1)>",
  `| <script>alert(1)</script> | b |\n|---|---|\n| <img src=x onerror=alert(1)> | c |`,
  `- [ ] <img src=x onerror=alert(1)>`,
  `> [!note"><script>alert(1)</script>] x`,
  `---\nx: <script>alert(1)</script>\n---\n`,
  `<!-- --><script>alert(1)</script>`,
  `<![CDATA[<script>alert(1)</script>]]>`,
  `<?php echo 1 ?><script>alert(1)</script>`,
  `https://evil.example/<script>alert(1)</script>`,
  `<x-element is=x onfocus=alert(1) autofocus tabindex=1>`,
]

const ATTRIBUTES = new Set(
  "alt aria-label checked class data-heading data-language data-note data-tag data-task href id loading rel role src start tabindex target title type".split(
    " ",
  ),
)

function* shapes(views) {
  for (const view of views) {
    if (typeof view === "string") continue
    yield view
    yield* shapes(view.children)
  }
}

test("hostile text stays text", () => {
  for (const body of HOSTILE) {
    for (const { tag, attributes } of shapes(read(body, reading).views)) {
      assert.ok(TAGS.includes(tag), `${tag} of ${body}`)
      for (const [name, value] of Object.entries(attributes)) {
        assert.ok(ATTRIBUTES.has(name), `${name} of ${body}`)
        if (name === "href") assert.match(value, /^(#|https?:\/\/|mailto:|tel:)/, body)
        if (name === "src") assert.match(value, /^data:image\/(png|jpeg|gif|webp|avif);base64,[A-Za-z0-9+/=]+$/, body)
      }
      if (attributes.href?.startsWith("http")) assert.match(attributes.rel, /noopener noreferrer/, body)
    }
  }
  assert.ok(HOSTILE.length > 60)
})

test("nothing that can be written makes it fail, or hides what was written", () => {
  const deep = [
    ">".repeat(20_000) + "x",
    "- ".repeat(5_000) + "x",
    "[".repeat(20_000),
    "*a ".repeat(20_000),
    "a" + "`".repeat(50_001),
  ]
  for (const body of deep) assert.ok(textOf(read(body, reading).views).length > 0, body.slice(0, 20))
  for (const body of ["[".repeat(20_000), "*a\n".repeat(20_000)])
    assert.equal(read(body, reading).views[0].attributes.class, "as-written")
  for (const body of ["x".repeat(500_000), "", "\n\n\n", "\ud800", "[[", "]]", "[[]]", "#", "---\n", "---\n---"])
    read(body, reading)
})
