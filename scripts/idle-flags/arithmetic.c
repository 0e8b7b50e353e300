/* Conversions, dot products of narrow numbers, saturation, and arithmetic wider than a register. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Widening, narrowing and converting. */
#define CONVERT(from, to, name)                                                                       \
  void convert_##name(to *restrict a, const from *b, size_t n) {                                      \
    for (size_t i = 0; i < n; i++) a[i] = (to)b[i];                                                   \
  }
CONVERT(int8_t, int32_t, i8_i32)
CONVERT(uint8_t, float, u8_f32)
CONVERT(int16_t, float, i16_f32)
CONVERT(int32_t, int8_t, i32_i8)
CONVERT(uint32_t, float, u32_f32)
CONVERT(float, uint32_t, f32_u32)
CONVERT(int64_t, double, i64_f64)
CONVERT(double, int64_t, f64_i64)
CONVERT(uint64_t, double, u64_f64)
CONVERT(double, uint64_t, f64_u64)
CONVERT(uint64_t, float, u64_f32)
CONVERT(double, float, f64_f32)
CONVERT(int64_t, int16_t, i64_i16)
#ifdef __FLT16_MAX__
CONVERT(_Float16, float, f16_f32)
CONVERT(float, _Float16, f32_f16)
CONVERT(double, _Float16, f64_f16)
CONVERT(_Float16, int16_t, f16_i16)
float dot_widening_f16(const _Float16 *a, const _Float16 *b, size_t n) {
  float sum = 0;
  for (size_t i = 0; i < n; i++) sum += (float)a[i] * (float)b[i];
  return sum;
}
#endif
#if defined(__clang_major__) && __clang_major__ >= 17
CONVERT(__bf16, float, bf16_f32)
CONVERT(float, __bf16, f32_bf16)
float dot_widening_bf16(const __bf16 *a, const __bf16 *b, size_t n) {
  float sum = 0;
  for (size_t i = 0; i < n; i++) sum += (float)a[i] * (float)b[i];
  return sum;
}
#endif

/* Dot products of narrow integers, in every mixture of signs. */
#define DOT(left, right, name)                                                                        \
  int32_t dot_wide_##name(const left *a, const right *b, size_t n) {                                  \
    int32_t sum = 0;                                                                                  \
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];                                                \
    return sum;                                                                                       \
  }                                                                                                   \
  void matvec_##name(int32_t *restrict y, const left *m, const right *x, size_t rows, size_t columns) { \
    for (size_t row = 0; row < rows; row++) {                                                         \
      int32_t sum = y[row];                                                                           \
      for (size_t i = 0; i < columns; i++) sum += m[row * columns + i] * x[i];                        \
      y[row] = sum;                                                                                   \
    }                                                                                                 \
  }
DOT(uint8_t, int8_t, u8s8)
DOT(int8_t, int8_t, s8s8)
DOT(uint8_t, uint8_t, u8u8)
DOT(int16_t, int16_t, s16s16)
DOT(uint16_t, int16_t, u16s16)
DOT(uint16_t, uint16_t, u16u16)

uint32_t absolute_differences(const uint8_t *a, const uint8_t *b, size_t n) {
  uint32_t sum = 0;
  for (size_t i = 0; i < n; i++) sum += (uint32_t)abs(a[i] - b[i]);
  return sum;
}
void average(uint8_t *restrict a, const uint8_t *b, const uint8_t *c, size_t n) {
  for (size_t i = 0; i < n; i++) a[i] = (uint8_t)((b[i] + c[i] + 1) >> 1);
}
void saturating(int16_t *restrict a, const int16_t *b, const int16_t *c, size_t n) {
  for (size_t i = 0; i < n; i++) {
    int32_t sum = b[i] + c[i];
    a[i] = (int16_t)(sum > INT16_MAX ? INT16_MAX : sum < INT16_MIN ? INT16_MIN : sum);
  }
}
void high_half(int16_t *restrict a, const int16_t *b, const int16_t *c, size_t n) {
  for (size_t i = 0; i < n; i++) a[i] = (int16_t)((b[i] * c[i] + 0x4000) >> 15);
}
/* 52-bit multiplication, as code for big numbers uses it. */
void multiply_52(uint64_t *restrict low, uint64_t *restrict high, const uint64_t *b, const uint64_t *c, size_t n) {
  const uint64_t mask = (1ULL << 52) - 1;
  for (size_t i = 0; i < n; i++) {
    unsigned __int128 product = (unsigned __int128)(b[i] & mask) * (c[i] & mask);
    low[i] += (uint64_t)product & mask;
    high[i] += (uint64_t)(product >> 52) & mask;
  }
}
void multiply_52_low(uint64_t *restrict a, const uint64_t *b, const uint64_t *c, size_t n) {
  const uint64_t mask = (1ULL << 52) - 1;
  for (size_t i = 0; i < n; i++) a[i] += ((b[i] & mask) * (c[i] & mask)) & mask;
}
/* Add and multiply with carry. */
void add_big(uint64_t *restrict a, const uint64_t *b, const uint64_t *c, size_t n) {
  unsigned char carry = 0;
  for (size_t i = 0; i < n; i++) {
    unsigned __int128 sum = (unsigned __int128)b[i] + c[i] + carry;
    a[i] = (uint64_t)sum;
    carry = (unsigned char)(sum >> 64);
  }
}
void multiply_big(uint64_t *restrict a, const uint64_t *b, uint64_t by, size_t n) {
  uint64_t carry = 0;
  for (size_t i = 0; i < n; i++) {
    unsigned __int128 product = (unsigned __int128)b[i] * by + a[i] + carry;
    a[i] = (uint64_t)product;
    carry = (uint64_t)(product >> 64);
  }
}
unsigned __int128 multiply_128(unsigned __int128 a, unsigned __int128 b) { return a * b; }
