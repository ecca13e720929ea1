// out = beta out + alpha f(x, y), entry by entry; coefficient 0 is beta, 1 is alpha. Where `keep` is 0 the old value of
// `out` is not read.

static __device__ REAL sign_of(REAL x) {
    if (x != x) return x;
    return (REAL)((x > 0) - (x < 0));
}

#define ELEMENTWISE(name, operands, value)                                                                             \
    extern "C" __global__ void name(struct View out, struct View x_view, struct View y_view, Index rows, Index cols,   \
                                    int keep, double eps, PARAMETER struct Coefficients c) {                           \
        COEFFICIENTS_OF(c, coefficient)                                                                                \
        REAL beta = coefficient[0], alpha = coefficient[1];                                                            \
        REAL x[BATCH], y[BATCH], old[BATCH];                                                                           \
        FOR_EACH_BATCH(rows, cols) {                                                                                   \
            get_batch(x_view, row, col, cols, THREADS, x);                                                             \
            if (operands == 2) get_batch(y_view, row, col, cols, THREADS, y);                                          \
            if (keep) get_batch(out, row, col, cols, THREADS, old);                                                    \
            IN_BATCH {                                                                                                 \
                REAL term = alpha * (value);                                                                           \
                x[i] = keep ? beta * old[i] + term : term;                                                             \
            }                                                                                                          \
            put_batch(out, row, col, cols, THREADS, x);                                                                \
        }                                                                                                              \
    }

ELEMENTWISE(scale_add, 1, x[i])
ELEMENTWISE(product_add, 2, x[i] * y[i])
ELEMENTWISE(quotient_add, 2, x[i] / ((REAL)sqrt(y[i]) + (REAL)eps))
ELEMENTWISE(sign_add, 1, sign_of(x[i]))

// out = beta out. A beta of zero on the host writes zeros without reading.
extern "C" __global__ void scale(struct View out, Index rows, Index cols, int keep, PARAMETER struct Coefficients c) {
    COEFFICIENTS_OF(c, coefficient)
    REAL x[BATCH];
    FOR_EACH_BATCH(rows, cols) {
        if (keep) get_batch(out, row, col, cols, THREADS, x);
        IN_BATCH x[i] = keep ? coefficient[0] * x[i] : (REAL)0;
        put_batch(out, row, col, cols, THREADS, x);
    }
}

// AdamW in one pass: first = b1 first + (1 - b1) G, second = b2 second + (1 - b2) G o G,
// out = beta out + alpha first / (sqrt(second) + eps). Coefficients: beta, alpha, the factors of G and of its square
// ((1 - b1) and (1 - b2) included).
extern "C" __global__ void adam_add(struct View out, struct View first, struct View second, struct View gradient,
                                    Index rows, Index cols, int keep, double b1, double b2, double eps,
                                    PARAMETER struct Coefficients c) {
    COEFFICIENTS_OF(c, coefficient)
    REAL g[BATCH], m[BATCH], v[BATCH], x[BATCH];
    FOR_EACH_BATCH(rows, cols) {
        get_batch(gradient, row, col, cols, THREADS, g);
        get_batch(first, row, col, cols, THREADS, m);
        get_batch(second, row, col, cols, THREADS, v);
        if (keep) get_batch(out, row, col, cols, THREADS, x);
        IN_BATCH {
            // A factor of zero promises that the old contents do not matter, NaN included.
            m[i] = (b1 == 0 ? (REAL)0 : (REAL)b1 * m[i]) + coefficient[2] * g[i];
            v[i] = (b2 == 0 ? (REAL)0 : (REAL)b2 * v[i]) + coefficient[3] * (g[i] * g[i]);
            REAL term = coefficient[1] * (m[i] / ((REAL)sqrt(v[i]) + (REAL)eps));
            x[i] = keep ? coefficient[0] * x[i] + term : term;
        }
        put_batch(first, row, col, cols, THREADS, m);
        put_batch(second, row, col, cols, THREADS, v);
        put_batch(out, row, col, cols, THREADS, x);
    }
}

// Mirrors the strict upper triangle (row < col) to the lower one.
extern "C" __global__ void mirror(struct View out, Index n) {
    FOR_EACH_ENTRY(n, n) {
        if (row > col) put(out, row, col, get(out, col, row));
    }
}
