// Every entry to one of the two 16-bit numbers next to it, entry i of row-major order by draw i of the stream that begins at `seed`: the
// bits of spectra-core's linalg/sixteen_bits.rs. `precision` bits after the point, `smallest` the exponent of the smallest normal number,
// `largest` the largest number, beyond which entries stay.

union DoubleBits {
    double number;
    Word bits;
};

// Where a graph repeats the launch it finds the seed of the day at `place`, which is not 0 then.
struct Seed {
    Word value;
    const Word *place;
};

extern "C" __global__ void round_stochastic(struct View x, Index rows, Index cols, struct Seed own, int precision, int smallest,
                                            double largest) {
    const Word seed = own.place ? *own.place : own.value;
    Index count = rows * cols, all = (Index)gridDim.x * THREADS;
    for (Index i = (Index)blockIdx.x * THREADS + threadIdx.x; i < count; i += all) {
        Index row = i / cols, col = i % cols;
        union DoubleBits value, unit;
        value.number = (double)get(x, row, col);
        bool negative = value.bits >> 63;
        value.bits &= 0x7fffffffffffffffull;
        // Also NaN.
        if (!(value.number <= largest)) continue;
        int exponent = (int)(value.bits >> 52) - 1023;
        unit.bits = (Word)((exponent < smallest ? smallest : exponent) - precision + 1023) << 52;
        Word draw = mix(seed + 0x9e3779b97f4a7c15ull * (Word)i) >> 40;
        double rounded = (double)(Word)(value.number / unit.number + (double)draw / 16777216.0) * unit.number;
        put(x, row, col, (REAL)(negative ? -rounded : rounded));
    }
}
