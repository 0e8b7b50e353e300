/* Shifts, rotations, counts and bit fields, in registers and over arrays; changes of the byte order. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BITS(type, name, builtin_suffix)                                                              \
  void shift_##name(type *restrict a, const type *b, const type *by, size_t n) {                      \
    for (size_t i = 0; i < n; i++) a[i] = b[i] << (by[i] & (8 * sizeof(type) - 1));                   \
  }                                                                                                   \
  void rotate_##name(type *a, unsigned by, size_t n) {                                                \
    for (size_t i = 0; i < n; i++) a[i] = (type)(a[i] << (by & 7)) | (a[i] >> (8 * sizeof(type) - (by & 7))); \
  }                                                                                                   \
  void funnel_##name(type *restrict a, const type *b, size_t n) {                                     \
    for (size_t i = 0; i < n; i++) a[i] = (type)(a[i] << 5) | (b[i] >> (8 * sizeof(type) - 5));       \
  }                                                                                                   \
  void mix_##name(type *restrict a, const type *b, const type *c, size_t n) {                         \
    for (size_t i = 0; i < n; i++) a[i] = (a[i] & b[i]) | (~a[i] & c[i]);                             \
  }                                                                                                   \
  void parity_##name(type *a, size_t n) {                                                             \
    for (size_t i = 0; i < n; i++) a[i] = (type)__builtin_parity##builtin_suffix(a[i]);               \
  }                                                                                                   \
  void popcount_##name(type *a, size_t n) {                                                           \
    for (size_t i = 0; i < n; i++) a[i] = (type)__builtin_popcount##builtin_suffix(a[i]);             \
  }                                                                                                   \
  unsigned leading_##name(type a) { return a == 0 ? 64 : (unsigned)__builtin_clz##builtin_suffix(a); } \
  unsigned trailing_##name(type a) { return a == 0 ? 64 : (unsigned)__builtin_ctz##builtin_suffix(a); } \
  void leading_all_##name(type *a, size_t n) {                                                        \
    for (size_t i = 0; i < n; i++) a[i] = (type)(a[i] == 0 ? 0 : __builtin_clz##builtin_suffix(a[i])); \
  }                                                                                                   \
  type lowest_##name(type a) { return a & (type)-a; }                                                 \
  type without_lowest_##name(type a) { return a & (type)(a - 1); }                                    \
  type up_to_lowest_##name(type a) { return a ^ (type)(a - 1); }                                      \
  type and_not_##name(type a, type b) { return a & (type)~b; }                                        \
  type field_##name(type a, unsigned from) { return (type)(a >> from) & 0x3f; }                       \
  type low_bits_##name(type a, unsigned count) { return a & (type)(((type)1 << count) - 1); }

BITS(uint8_t, b8, )
BITS(uint16_t, b16, )
BITS(uint32_t, b32, )
BITS(uint64_t, b64, ll)

/* Changes of the byte order: on load, on store and in place. */
uint32_t load_big_endian_32(const void *at) { uint32_t v; memcpy(&v, at, 4); return __builtin_bswap32(v); }
uint64_t load_big_endian_64(const void *at) { uint64_t v; memcpy(&v, at, 8); return __builtin_bswap64(v); }
void store_big_endian_32(void *at, uint32_t v) { v = __builtin_bswap32(v); memcpy(at, &v, 4); }
void store_big_endian_64(void *at, uint64_t v) { v = __builtin_bswap64(v); memcpy(at, &v, 8); }
void swap_all_16(uint16_t *a, size_t n) { for (size_t i = 0; i < n; i++) a[i] = __builtin_bswap16(a[i]); }
void swap_all_32(uint32_t *a, size_t n) { for (size_t i = 0; i < n; i++) a[i] = __builtin_bswap32(a[i]); }
void swap_all_64(uint64_t *a, size_t n) { for (size_t i = 0; i < n; i++) a[i] = __builtin_bswap64(a[i]); }
void reverse_bits(uint8_t *a, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uint8_t v = a[i];
    v = (uint8_t)((v & 0xf0) >> 4 | (v & 0x0f) << 4);
    v = (uint8_t)((v & 0xcc) >> 2 | (v & 0x33) << 2);
    a[i] = (uint8_t)((v & 0xaa) >> 1 | (v & 0x55) << 1);
  }
}
uint64_t interleave(uint32_t a) {
  uint64_t v = a;
  v = (v | v << 16) & 0x0000ffff0000ffffULL;
  v = (v | v << 8) & 0x00ff00ff00ff00ffULL;
  v = (v | v << 4) & 0x0f0f0f0f0f0f0f0fULL;
  v = (v | v << 2) & 0x3333333333333333ULL;
  return (v | v << 1) & 0x5555555555555555ULL;
}
