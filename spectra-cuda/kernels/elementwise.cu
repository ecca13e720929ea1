// out = beta out + alpha f(x, y), entry by entry; coefficient 0 is beta, 1 is alpha. Where `keep` is 0 the old value of
// `out` is not read.

static __device__ REAL sign_of(REAL x) {
    if (x != x) return x;
    return (REAL)((x > 0) - (x < 0));
}

#define ELEMENTWISE(name, value)                                                                                       \
    extern "C" __global__ void name(struct View out, struct View x_view, struct View y_view, Index rows, Index cols,   \
                                    int keep, double eps, PARAMETER struct Coefficients c) {                                     \
        COEFFICIENTS_OF(c, coefficient)                                                                                \
        REAL beta = coefficient[0], alpha = coefficient[1];                                                            \
        FOR_EACH_ENTRY(rows, cols) {                                                                                   \
            REAL x = get(x_view, row, col);                                                                            \
            REAL term = alpha * (value);                                                                               \
            put(out, row, col, keep ? beta * get(out, row, col) + term : term);                                        \
        }                                                                                                              \
    }

ELEMENTWISE(scale_add, x)
ELEMENTWISE(product_add, x * get(y_view, row, col))
ELEMENTWISE(quotient_add, x / ((REAL)sqrt(get(y_view, row, col)) + (REAL)eps))
ELEMENTWISE(sign_add, sign_of(x))

// out = beta out. A beta of zero on the host writes zeros without reading.
extern "C" __global__ void scale(struct View out, Index rows, Index cols, int keep, PARAMETER struct Coefficients c) {
    COEFFICIENTS_OF(c, coefficient)
    FOR_EACH_ENTRY(rows, cols) { put(out, row, col, keep ? coefficient[0] * get(out, row, col) : (REAL)0); }
}

// AdamW in one pass: first = b1 first + (1 - b1) G, second = b2 second + (1 - b2) G o G,
// out = beta out + alpha first / (sqrt(second) + eps). Coefficients: beta, alpha, the factors of G and of its square
// ((1 - b1) and (1 - b2) included).
extern "C" __global__ void adam_add(struct View out, struct View first, struct View second, struct View gradient,
                                    Index rows, Index cols, int keep, double b1, double b2, double eps,
                                    PARAMETER struct Coefficients c) {
    COEFFICIENTS_OF(c, coefficient)
    FOR_EACH_ENTRY(rows, cols) {
        REAL g = get(gradient, row, col);
        REAL m = (REAL)b1 * get(first, row, col) + coefficient[2] * g;
        REAL v = (REAL)b2 * get(second, row, col) + coefficient[3] * (g * g);
        put(first, row, col, m);
        put(second, row, col, v);
        REAL term = coefficient[1] * (m / ((REAL)sqrt(v) + (REAL)eps));
        put(out, row, col, keep ? coefficient[0] * get(out, row, col) + term : term);
    }
}

// Mirrors the strict upper triangle (row < col) to the lower one.
extern "C" __global__ void mirror(struct View out, Index n) {
    FOR_EACH_ENTRY(n, n) {
        if (row > col) put(out, row, col, get(out, col, row));
    }
}
