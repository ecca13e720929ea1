// Element types of cuBLAS and their rounding, to nearest and ties to even.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace sim {

enum Type : int { F32 = 0, F64 = 1, F16 = 2, BF16 = 14 };
enum Rounding { NONE, TO_TF32, TO_BF16, TO_F16 };

inline std::size_t size_of(Type type) { return type == F64 ? 8 : type == F32 ? 4 : 2; }

inline std::uint32_t bits(float x) {
    std::uint32_t b;
    std::memcpy(&b, &x, 4);
    return b;
}
inline float from_bits(std::uint32_t b) {
    float x;
    std::memcpy(&x, &b, 4);
    return x;
}
// Round to nearest, ties to even, keeping the upper 32 - dropped bits.
inline float keep(float x, int dropped) {
    if (!std::isfinite(x)) return x;
    std::uint32_t b = bits(x), half = (1u << (dropped - 1)) - 1 + (b >> dropped & 1);
    return from_bits((b + half) >> dropped << dropped);
}
inline float decode_half(std::uint16_t h) {
    int exponent = h >> 10 & 31, fraction = h & 1023;
    float x = exponent == 31 ? (fraction ? NAN : INFINITY) : std::ldexp(float(exponent ? fraction + 1024 : fraction), std::max(exponent, 1) - 25);
    return h >> 15 ? -x : x;
}
inline std::uint16_t encode_half(float x) {
    std::uint16_t sign = bits(x) >> 31 << 15;
    if (std::isnan(x)) return sign | 0x7E00;
    float size = std::fabs(x);
    if (size >= 65520.0f) return sign | 0x7C00;
    if (size == 0) return sign;  // no exponent
    int exponent = 0;
    std::frexp(size, &exponent);  // size = f * 2^exponent, f in [0.5, 1)
    int unit = std::max(exponent, -13) - 11;
    auto count = std::uint16_t(std::nearbyint(std::ldexp(size, -unit)));  // <= 2048 carries into the exponent
    return sign | std::uint16_t(((unit + 24) << 10) + count);
}

template <class T> T read(const char* at, Type type) {
    if (type == F64) {
        double x;
        std::memcpy(&x, at, 8);
        return T(x);
    }
    if (type == F32) {
        float x;
        std::memcpy(&x, at, 4);
        return T(x);
    }
    std::uint16_t h;
    std::memcpy(&h, at, 2);
    return T(type == BF16 ? from_bits(std::uint32_t(h) << 16) : decode_half(h));
}
template <class T> void write(char* at, Type type, T value) {
    if (type == F64) return void(std::memcpy(at, &(const double&)(double(value)), 8));
    float x = float(value);
    if (type == F32) return void(std::memcpy(at, &x, 4));
    std::uint16_t h = type == F16 ? encode_half(x) : std::isnan(x) ? 0x7FC0 : std::uint16_t(bits(keep(x, 16)) >> 16);
    std::memcpy(at, &h, 2);
}
template <class T> T rounded(T x, Rounding rounding) {
    if (rounding == TO_TF32) return T(keep(float(x), 13));
    if (rounding == TO_BF16) return T(keep(float(x), 16));
    if (rounding == TO_F16) return T(decode_half(encode_half(float(x))));
    return x;
}

}  // namespace sim
