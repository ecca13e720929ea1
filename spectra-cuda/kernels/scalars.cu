// Numbers that are needed as such: where a program grows too long, where the host wants to read one, and where cuBLAS
// takes coefficients from device memory.

extern "C" __global__ void scalar_evaluate(double *out, PARAMETER struct Coefficients c) {
    if (threadIdx.x != 0) return;
    double value[COEFFICIENTS];
    evaluate(&c, value);
    out[blockIdx.z] = value[0];
}

// The first two coefficients in the element type, for a product.
extern "C" __global__ void scalar_pair(REAL *out, PARAMETER struct Coefficients c) {
    if (threadIdx.x != 0) return;
    double value[COEFFICIENTS];
    evaluate(&c, value);
    out[0] = (REAL)value[0];
    out[1] = (REAL)value[1];
}

// The pointers of the blocks (i, j) with i <= j < side of a symmetric product out = op(a) op(b), for a batch that takes `block` rows of
// op(a), `block` columns of op(b) and what they make of out: `count` pointers of each, one list after the other. `*_step`: bytes
// from one block to the next, in out down and to the right. Of a stack of `parts` matrices a, b and out are tables of their places, and
// a list has the pointers of one part after the other.
extern "C" __global__ void block_pointers(Index *table, Index a, Index b, Index out, Index a_step, Index b_step, Index out_down,
                                          Index out_right, int side, int parts) {
    const int count = side * (side + 1) / 2, part = blockIdx.z;
    if (parts > 1) a = ((const Index *)a)[part], b = ((const Index *)b)[part], out = ((const Index *)out)[part];
    table += (Index)part * count;
    for (int t = threadIdx.x; t < count; t += THREADS) {
        int i = 0, first = 0;
        while (first + side - i <= t) first += side - i++;
        const int j = i + t - first;
        table[t] = a + i * a_step;
        table[parts * count + t] = b + j * b_step;
        table[2 * parts * count + t] = out + i * out_down + j * out_right;
    }
}
