// Plays one scene, which is told as JSON, and says what was found, as JSON. `xtask/src/bench/client` has scenes played in turns.
import { firstVisit } from "./app/first.mjs"
import { reconnect } from "./app/reconnect.mjs"
import { fillVault, openVault } from "./app/vault.mjs"
import { libraryOpen, libraryReconnect } from "./library/scenes.mjs"

const SCENES = { firstVisit, fillVault, openVault, reconnect, libraryOpen, libraryReconnect }

const [name, order] = process.argv.slice(2)
const play = SCENES[name]
if (!play) throw new Error(`nobody knows the scene ${name}`)
console.log(JSON.stringify(await play(JSON.parse(order))))
