// Draws the icons that browsers want as PNG, from public/icon.svg. To be run by hand after that was changed.
import { readFile, writeFile } from "node:fs/promises"
import { chromium } from "playwright-core"

const PUBLIC = new URL("../public/", import.meta.url)
/** A mask may cut away all but the middle four fifths. */
const ICONS = [
  { name: "icon-180.png", size: 180, isWhole: true },
  { name: "icon-192.png", size: 192, isWhole: false },
  { name: "icon-512.png", size: 512, isWhole: false },
  { name: "icon-maskable-512.png", size: 512, isWhole: true },
]

const svg = await readFile(new URL("icon.svg", PUBLIC), "utf8")
const browser = await chromium.launch({
  executablePath: process.env.SELVEDGE_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
})
for (const { name, size, isWhole } of ICONS) {
  const page = await browser.newPage({ viewport: { width: size, height: size } })
  const drawn = isWhole ? svg.replace(' rx="112"', "") : svg
  await page.setContent(
    `<style>html, body { margin: 0; background: none } svg { display: block; width: ${size}px; height: ${size}px }</style>${drawn}`,
  )
  await writeFile(new URL(name, PUBLIC), await page.screenshot({ omitBackground: true }))
}
await browser.close()
