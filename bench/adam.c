/* Adam over an array of parameters, as one hand-written pass over memory: reads w, g, m, v and writes w, m, v,
 * 28 bytes an element. Prints one JSON line: the median of the passes' times in milliseconds.
 *
 *   adam THREADS [PASSES [ELEMENTS]]
 */
#define _GNU_SOURCE
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, WARM = 10 };

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

static void pass(long n, int t, float *restrict w, const float *restrict g, float *restrict m, float *restrict v) {
    const float b1 = 0.9f, b2 = 0.999f, eps = 1e-8f;
    const float rate = 1e-3f / (1 - powf(b1, t)), scale = 1 / (1 - powf(b2, t));
#pragma omp parallel for simd schedule(static)
    for (long k = 0; k < n; k++) {
        float a = b1 * m[k] + (1 - b1) * g[k];
        float b = b2 * v[k] + (1 - b2) * g[k] * g[k];
        m[k] = a;
        v[k] = b;
        w[k] -= rate * a / (sqrtf(scale * b) + eps);
    }
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int count, char **words) {
    int threads = count > 1 ? atoi(words[1]) : 2;
    int passes = count > 2 ? atoi(words[2]) : 200;
    long n = count > 3 ? atol(words[3]) : 10000000;
    omp_set_num_threads(threads);
    float *w = array(n), *g = array(n), *m = array(n), *v = array(n);
#pragma omp parallel for schedule(static)
    for (long k = 0; k < n; k++) {
        w[k] = 0.5f;
        g[k] = (float)((unsigned)k * 2654435761u >> 8) / 16777216.0f - 0.5f;
        m[k] = 0;
        v[k] = 0;
    }
    double *times = malloc(sizeof(double) * (size_t)passes);
    for (int t = 1; t <= WARM + passes; t++) {
        double start = omp_get_wtime();
        pass(n, t, w, g, m, v);
        if (t > WARM) times[t - WARM - 1] = 1e3 * (omp_get_wtime() - start);
    }
    qsort(times, (size_t)passes, sizeof(double), by_value);
    double median = times[passes / 2];
    printf("{\"workload\": \"adam\", \"by\": \"C loop\", \"value\": %.4f, \"best\": %.4f, \"unit\": \"ms\", "
           "\"threads\": %d, \"gigabytes_per_second\": %.2f, \"w0\": %g}\n",
           median, times[0], threads, 28.0 * (double)n / median / 1e6, w[0]);
    return 0;
}
