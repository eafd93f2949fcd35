import { ClientError, clientError } from "../error.js"

/** Brings a database from one version to the next. */
export type Step = (database: IDBDatabase) => void

/** Takes a transaction back, and says why. */
export type Refuse = (why: ClientError) => void

/** What the owner of a database is told. */
export interface DatabaseOptions {
  onBlocked?: () => void
  onClosed?: (why: ClientError) => void
}

/** An open database, whose transactions end on the disk or leave nothing. */
export class Database {
  readonly #database: IDBDatabase
  #closed: ClientError | undefined

  /** Opens a database of as many versions as there are steps; the first step makes it. */
  static open(name: string, steps: readonly Step[], options: DatabaseOptions = {}): Promise<Database> {
    return new Promise((resolve, reject) => {
      const request = factory().open(name, steps.length)
      request.onupgradeneeded = event => {
        for (const step of steps.slice(event.oldVersion)) step(request.result)
      }
      request.onblocked = () => options.onBlocked?.()
      request.onerror = () => reject(openError(request.error))
      request.onsuccess = () => resolve(new Database(request.result, options))
    })
  }

  private constructor(database: IDBDatabase, options: DatabaseOptions) {
    this.#database = database
    const end = (why: ClientError) => {
      if (this.#closed) return
      database.close()
      this.#closed = why
      options.onClosed?.(why)
    }
    database.onversionchange = () => end(new ClientError("outdated", "a newer version of the application opens the store"))
    database.onclose = () => end(new ClientError("closed", "the browser took the store away"))
  }

  /** Reads in one transaction; `work` says later what it has read. */
  read<T>(stores: string[], work: (transaction: IDBTransaction) => () => T): Promise<T> {
    return this.#run("reading from the store", () => {
      const transaction = this.#database.transaction(stores, "readonly")
      return { transaction, result: work(transaction), refused: () => undefined }
    })
  }

  /** Writes in one transaction. It is on the disk when this resolves. */
  write(stores: string[], work: (transaction: IDBTransaction, refuse: Refuse) => void): Promise<void> {
    return this.#run("writing to the store", () => {
      const transaction = this.#database.transaction(stores, "readwrite", { durability: "strict" })
      let refused: ClientError | undefined
      const refuse = (why: ClientError) => {
        refused = why
        transaction.abort()
      }
      try {
        work(transaction, refuse)
      } catch (error) {
        transaction.abort()
        throw error
      }
      return { transaction, result: () => undefined, refused: () => refused }
    })
  }

  close(): void {
    this.#closed ??= new ClientError("closed", "the store was closed")
    this.#database.close()
  }

  async #run<T>(what: string, begin: () => Running<T>): Promise<T> {
    if (this.#closed) throw this.#closed
    try {
      const { transaction, result, refused } = begin()
      await new Promise<void>((resolve, reject) => {
        transaction.oncomplete = () => resolve()
        transaction.onabort = () => reject(refused() ?? this.#closed ?? transaction.error ?? new Error("the transaction ended"))
      })
      return result()
    } catch (error) {
      throw this.#closed ?? runError(what, error)
    }
  }
}

interface Running<T> {
  transaction: IDBTransaction
  result: () => T
  refused: () => ClientError | undefined
}

/** Some browsers lose the connection to their own database, and say so to who uses it only. */
function runError(what: string, error: unknown): ClientError {
  const isLost = error instanceof DOMException && error.name === "InvalidStateError"
  return isLost ? new ClientError("closed", `${what}: ${error.message}`, error) : clientError(what, error)
}

function factory(): IDBFactory {
  try {
    // Some browsers throw at the mention of it where a site may store nothing.
    if (globalThis.indexedDB) return globalThis.indexedDB
  } catch {}
  throw new ClientError("unsupported", "there is no IndexedDB here")
}

/** Some browsers have a database that they refuse to open in private windows. */
function openError(error: DOMException | null): ClientError {
  if (error?.name === "InvalidStateError") return new ClientError("unsupported", error.message, error)
  return clientError("opening the store", error)
}
