/* A rule over an array of parameters as one hand-written pass over memory: reads w, g and the rule's states, writes w
 * and these, 28 bytes an element (Lion 20). Prints one JSON line: the median of the passes' times in milliseconds.
 *
 *   loops adam|adamw|lion|adabelief|agree THREADS [PASSES [ELEMENTS]]
 */
#define _GNU_SOURCE
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, WARM = 10, TENSOR = 500000 };

/* Memory as Gannet takes it: aligned to huge pages, which the system is asked for. */
static float *array(long n) {
    size_t bytes = ((size_t)n * sizeof(float) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    float *a = aligned_alloc(HUGE_PAGE, bytes);
    if (!a) {
        fprintf(stderr, "not enough memory\n");
        exit(1);
    }
    madvise(a, bytes, MADV_HUGEPAGE);
    return a;
}

typedef struct {
    float *restrict w, *restrict m, *restrict v;
    const float *restrict g;
} State;

#define LOOP(body)                                                        \
    do {                                                                  \
        _Pragma("omp parallel for simd schedule(static)")                 \
        for (long k = 0; k < n; k++) {                                    \
            float w = s.w[k], g = s.g[k], m = s.m[k], v = s.v[k];         \
            body;                                                         \
            s.w[k] = w, s.m[k] = m, s.v[k] = v;                           \
        }                                                                 \
    } while (0)

static void adam(long n, int t, State s, float decay) {
    const float b1 = 0.9f, b2 = 0.999f, eps = 1e-8f;
    const float rate = 1e-3f / (1 - powf(b1, t)), scale = 1 / (1 - powf(b2, t)), keep = 1 - 1e-3f * decay;
    LOOP(m = b1 * m + (1 - b1) * g; v = b2 * v + (1 - b2) * g * g; w = keep * w - rate * m / (sqrtf(scale * v) + eps));
}

static void adabelief(long n, int t, State s) {
    const float b1 = 0.9f, b2 = 0.999f, eps = 1e-16f;
    const float rate = 1e-3f / (1 - powf(b1, t)), scale = 1 / (1 - powf(b2, t));
    LOOP(m = b1 * m + (1 - b1) * g; v = b2 * v + (1 - b2) * (g - m) * (g - m) + eps;
         w -= rate * m / (sqrtf(scale * v) + eps));
}

static void agree(long n, State s) {
    LOOP(m = 0.9f * m + 0.1f * g; v = 0.99f * v + 0.01f * fabsf(g - m);
         w -= 1e-3f * m / (fabsf(m) + v + 1e-8f) + 1e-5f * w);
}

static void lion(long n, State s) {
#pragma omp parallel for simd schedule(static)
    for (long k = 0; k < n; k++) {
        float m = s.m[k], c = 0.9f * m + 0.1f * s.g[k];
        s.m[k] = 0.99f * m + 0.01f * s.g[k];
        s.w[k] -= c > 0 ? 1e-4f : c < 0 ? -1e-4f : 0;
    }
}

static void pass(const char *rule, long n, int t, State s) {
    if (!strcmp(rule, "adam")) adam(n, t, s, 0);
    else if (!strcmp(rule, "adamw")) adam(n, t, s, 0.01f);
    else if (!strcmp(rule, "adabelief")) adabelief(n, t, s);
    else if (!strcmp(rule, "lion")) lion(n, s);
    else if (!strcmp(rule, "agree")) agree(n, s);
    else exit(2);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int count, char **words) {
    const char *rule = count > 1 ? words[1] : "adam";
    int threads = count > 2 ? atoi(words[2]) : 2;
    int passes = count > 3 ? atoi(words[3]) : 200;
    long n = count > 4 ? atol(words[4]) : 10000000;
    omp_set_num_threads(threads);
    State s = {array(n), array(n), array(n), NULL};
    float *g = array(n);
    s.g = g;
#pragma omp parallel for schedule(static)
    for (long k = 0; k < n; k++) {
        s.w[k] = 0.5f;
        g[k] = (float)((37 * (k % TENSOR) + 11 * (k / TENSOR)) % 1009) / 1009 - 0.5f;
        s.m[k] = 0;
        s.v[k] = 0;
    }
    // The loss that Gannet computes beside its step: one entry of each tensor of 500,000.
    double losses[WARM], *times = malloc(sizeof(double) * (size_t)passes);
    for (int t = 1; t <= WARM + passes; t++) {
        if (t <= WARM) {
            losses[t - 1] = 0;
            for (long k = 0; k < n; k += TENSOR) losses[t - 1] += s.w[k] * g[k];
        }
        double start = omp_get_wtime();
        pass(rule, n, t, s);
        if (t > WARM) times[t - WARM - 1] = 1e3 * (omp_get_wtime() - start);
    }
    qsort(times, (size_t)passes, sizeof(double), by_value);
    double median = times[passes / 2], bytes = strcmp(rule, "lion") ? 28 : 20;
    printf("{\"what\": \"step\", \"value\": %.4f, \"best\": %.4f, \"unit\": \"ms\", \"threads\": %d, "
           "\"gigabytes_per_second\": %.2f, \"losses\": [",
           median, times[0], threads, bytes * (double)n / median / 1e6);
    for (int t = 0; t < WARM; t++) printf("%s%.7g", t ? ", " : "", losses[t]);
    printf("]}\n");
    return 0;
}
