/*
 * libmodsecurity under the given rules, asked as bench/waf/src/replay.rs says. Usage:
 *
 *     modsecurity RULES... -- RECORDS...
 */

#define _GNU_SOURCE
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <modsecurity/intervention.h>
#include <modsecurity/modsecurity.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>

#define MAGIC "WAFREC1\n"
#define FILES_MAX 256
#define IDS_MAX 4096

struct text {
    const unsigned char *bytes;
    uint32_t length;
};

/* A file of records, and where each of them begins. */
struct corpus {
    unsigned char *bytes;
    size_t length;
    size_t *starts;
    size_t count;
};

/* The rules that a request matched. */
struct matches {
    uint64_t ids[IDS_MAX];
    size_t count;
};

static void fail(const char *what, const char *which) {
    fprintf(stderr, "modsecurity: %s: %s\n", which, what);
    exit(1);
}

static uint64_t now_ns(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t memory_kib(void) {
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    uint64_t kib = 0;
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        if (sscanf(line, "VmRSS: %" SCNu64, &kib) == 1) {
            break;
        }
    }
    if (status != NULL) {
        fclose(status);
    }
    return kib;
}

static uint32_t take_number(const struct corpus *corpus, size_t *at) {
    if (corpus->length - *at < 4) {
        fail("a record ends early", "records");
    }
    const unsigned char *bytes = corpus->bytes + *at;
    *at += 4;
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static struct text take_text(const struct corpus *corpus, size_t *at) {
    struct text text;
    text.length = take_number(corpus, at);
    text.bytes = corpus->bytes + *at;
    if (corpus->length - *at < text.length) {
        fail("a record ends early", "records");
    }
    *at += text.length;
    return text;
}

static void skip_record(const struct corpus *corpus, size_t *at) {
    take_number(corpus, at);
    for (int part = 0; part < 3; part++) {
        take_text(corpus, at);
    }
    uint32_t fields = take_number(corpus, at);
    for (uint32_t field = 0; field < 2 * fields; field++) {
        take_text(corpus, at);
    }
    take_text(corpus, at);
}

static struct corpus read_corpus(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        fail("cannot be read", path);
    }
    struct corpus corpus = {.length = (size_t)ftell(file)};
    rewind(file);
    corpus.bytes = malloc(corpus.length + 1);
    corpus.starts = malloc((corpus.length / 24 + 1) * sizeof *corpus.starts);
    if (corpus.bytes == NULL || corpus.starts == NULL ||
        fread(corpus.bytes, 1, corpus.length, file) != corpus.length) {
        fail("cannot be read", path);
    }
    fclose(file);
    if (corpus.length < strlen(MAGIC) || memcmp(corpus.bytes, MAGIC, strlen(MAGIC)) != 0) {
        fail("holds no records", path);
    }
    for (size_t at = strlen(MAGIC); at < corpus.length;) {
        corpus.starts[corpus.count++] = at;
        skip_record(&corpus, &at);
    }
    return corpus;
}

/* Called for each rule that matches, does not say `nolog` and refuses nothing. */
static void log_match(void *data, const void *line) {
    struct matches *matches = data;
    const char *id = line == NULL ? NULL : strstr(line, "[id \"");
    if (matches != NULL && id != NULL && matches->count < IDS_MAX) {
        matches->ids[matches->count++] = strtoull(id + 5, NULL, 10);
    }
}

static int refused(Transaction *transaction, struct matches *matches) {
    ModSecurityIntervention intervention = {.status = 200};
    if (!msc_intervention(transaction, &intervention)) {
        return 0;
    }
    log_match(matches, intervention.log);
    free(intervention.url);
    free(intervention.log);
    return intervention.status;
}

/* A text of its own, for what takes texts that end in a null byte. */
static char *copy(struct text text) {
    char *copy = malloc((size_t)text.length + 1);
    if (copy == NULL) {
        fail("out of memory", "records");
    }
    memcpy(copy, text.bytes, text.length);
    copy[text.length] = 0;
    return copy;
}

/* Phases 1 and 2: what decides about a request. */
static int judge(ModSecurity *engine, RulesSet *rules, const struct corpus *corpus, size_t record,
                 struct matches *matches) {
    size_t at = corpus->starts[record];
    take_number(corpus, &at);
    char *method = copy(take_text(corpus, &at));
    char *target = copy(take_text(corpus, &at));
    char *version = copy(take_text(corpus, &at));
    Transaction *transaction = msc_new_transaction(engine, rules, matches);
    msc_process_connection(transaction, "192.0.2.7", 40000, "198.51.100.1", 443);
    /* It puts the name of the protocol before the number by itself. */
    size_t name = strncmp(version, "HTTP/", 5) == 0 ? 5 : 0;
    msc_process_uri(transaction, target, method, version + name);
    uint32_t fields = take_number(corpus, &at);
    for (uint32_t field = 0; field < fields; field++) {
        struct text name = take_text(corpus, &at);
        struct text value = take_text(corpus, &at);
        msc_add_n_request_header(transaction, name.bytes, name.length, value.bytes, value.length);
    }
    msc_process_request_headers(transaction);
    int status = refused(transaction, matches);
    if (status == 0) {
        struct text body = take_text(corpus, &at);
        if (body.length > 0) {
            msc_append_request_body(transaction, body.bytes, body.length);
        }
        msc_process_request_body(transaction);
        status = refused(transaction, matches);
    }
    msc_transaction_cleanup(transaction);
    free(method);
    free(target);
    free(version);
    return status;
}

static uint64_t answer(ModSecurity *engine, RulesSet *rules, const struct corpus *corpus, size_t from, size_t to) {
    uint64_t all = 0;
    for (size_t record = from; record < to; record++) {
        struct matches matches = {.count = 0};
        uint64_t before = now_ns(CLOCK_THREAD_CPUTIME_ID);
        int status = judge(engine, rules, corpus, record, &matches);
        uint64_t spent = now_ns(CLOCK_THREAD_CPUTIME_ID) - before;
        all += spent;
        printf("%zu %d %" PRIu64 " ", record, status, spent);
        for (size_t match = 0; match < matches.count; match++) {
            printf("%s%" PRIu64, match == 0 ? "" : ",", matches.ids[match]);
        }
        putchar('\n');
    }
    return all;
}

int main(int count, char **arguments) {
    uint64_t start = now_ns(CLOCK_MONOTONIC);
    ModSecurity *engine = msc_init();
    msc_set_connector_info(engine, "selvedge-conformance 1");
    msc_set_log_cb(engine, log_match);
    RulesSet *rules = msc_create_rules_set();
    int argument = 1;
    for (; argument < count && strcmp(arguments[argument], "--") != 0; argument++) {
        const char *error = NULL;
        if (msc_rules_add_file(rules, arguments[argument], &error) < 0) {
            fail(error == NULL ? "does not load" : error, arguments[argument]);
        }
    }
    uint64_t loaded = now_ns(CLOCK_MONOTONIC);
    uint64_t loaded_kib = memory_kib();
    static struct corpus corpora[FILES_MAX];
    size_t files = 0;
    for (argument++; argument < count && files < FILES_MAX; argument++) {
        corpora[files++] = read_corpus(arguments[argument]);
    }
    uint64_t records_kib = memory_kib() - loaded_kib;
    printf("ready %" PRIu64 " %" PRIu64 "\n", (loaded - start) / 1000, loaded_kib);
    fflush(stdout);
    size_t file, from, to;
    while (scanf("%zu %zu %zu", &file, &from, &to) == 3) {
        if (file >= files || from > to || to > corpora[file].count) {
            fail("no such slice", "input");
        }
        uint64_t spent = answer(engine, rules, &corpora[file], from, to);
        printf("done %" PRIu64 " %" PRIu64 "\n", spent, memory_kib() - records_kib);
        fflush(stdout);
    }
    msc_rules_cleanup(rules);
    msc_cleanup(engine);
    return 0;
}
