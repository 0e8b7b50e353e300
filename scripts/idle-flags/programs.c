/* Copies, atomics, floating point, tables, and inner loops of checksums and ciphers in portable code. */
#include <complex.h>
#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Copies of every size, and of cache lines. */
struct line { uint8_t bytes[64]; };
struct page { uint8_t bytes[4096]; };
void copy_line(struct line *to, const struct line *from) { *to = *from; }
void copy_line_aligned(struct line *to, const struct line *from) {
  memcpy(__builtin_assume_aligned(to, 64), __builtin_assume_aligned(from, 64), 64);
}
void copy_page(struct page *to, const struct page *from) { *to = *from; }
void clear_line(struct line *to) { memset(__builtin_assume_aligned(to, 64), 0, 64); }
void clear_page(struct page *to) { memset(to, 0, sizeof *to); }
void copy_any(void *restrict to, const void *restrict from, size_t n) { memcpy(to, from, n); }
int compare_32(const void *a, const void *b) { return memcmp(a, b, 32) == 0; }
void prefetch(const char *a, size_t n) { for (size_t i = 0; i < n; i += 64) __builtin_prefetch(a + i, 1, 3); }
void prefetch_far(const char *a, size_t n) { for (size_t i = 0; i < n; i += 64) __builtin_prefetch(a + i, 0, 1); }
size_t length_of(const char *text) { return strlen(text); }
void *find_byte(const void *text, int c, size_t n) { return memchr(text, c, n); }
void clear_cache(char *from, char *to) { __builtin___clear_cache(from, to); }

/* Atomics, locks and waiting. */
uint32_t fetch_add(_Atomic uint32_t *a, uint32_t b) { return atomic_fetch_add(a, b); }
void add_if_less(_Atomic int64_t *a, int64_t limit, int64_t by) {
  int64_t seen = atomic_load(a);
  while (seen < limit && !atomic_compare_exchange_weak(a, &seen, seen + by));
}
int add_and_test(_Atomic int32_t *a) { return atomic_fetch_sub(a, 1) == 1; }
uint64_t exchange(_Atomic uint64_t *a, uint64_t b) { return atomic_exchange(a, b); }
bool set_bit(_Atomic uint32_t *a, unsigned bit) { return atomic_fetch_or(a, 1u << bit) >> bit & 1; }
void publish(_Atomic uint64_t *a, uint64_t b) { atomic_store_explicit(a, b, memory_order_seq_cst); }
void fence(void) { atomic_thread_fence(memory_order_seq_cst); }
bool swap_double(unsigned __int128 *a, unsigned __int128 was, unsigned __int128 is) {
  return __sync_bool_compare_and_swap(a, was, is);
}
void spin(_Atomic int *lock) {
  while (atomic_exchange(lock, 1))
    while (atomic_load_explicit(lock, memory_order_relaxed)) __builtin_ia32_pause();
}
void write_volatile(volatile uint32_t *port, const uint32_t *values, size_t n) {
  for (size_t i = 0; i < n; i++) *port = values[i];
}
void write_volatile_64(volatile uint64_t *port, uint64_t value) { *port = value; }

/* Thread locals, calls, tables, floating point environment. */
static _Thread_local uint64_t counters[8];
uint64_t count_event(unsigned kind) { return ++counters[kind & 7]; }
int table(unsigned at, int x) {
  switch (at) {
    case 0: return x + 1;
    case 1: return x * 3;
    case 2: return x ^ 7;
    case 3: return x >> 2;
    case 4: return -x;
    case 5: return x / 7;
    case 6: return x % 10;
    default: return 0;
  }
}
uint64_t time_stamp(void) { return __builtin_ia32_rdtsc(); }
double round_all(double *a, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += floor(a[i]) + sqrt(fabs(a[i])) + trunc(a[i]) + copysign(1.0, a[i]);
  return sum;
}
void reciprocals(float *a, size_t n) { for (size_t i = 0; i < n; i++) a[i] = 1.0f / sqrtf(a[i]); }
void scale(double *a, int by, size_t n) { for (size_t i = 0; i < n; i++) a[i] = ldexp(a[i], by); }
void complex_multiply(float complex *restrict a, const float complex *b, const float complex *c, size_t n) {
  for (size_t i = 0; i < n; i++) a[i] = b[i] * c[i];
}
void complex_multiply_64(double complex *restrict a, const double complex *b, const double complex *c, size_t n) {
  for (size_t i = 0; i < n; i++) a[i] += b[i] * c[i];
}
int classify(double a) { return isnan(a) ? 1 : isinf(a) ? 2 : 0; }
void matrix_multiply(float *restrict c, const float *a, const float *b, int n) {
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) {
      float sum = 0;
      for (int k = 0; k < n; k++) sum += a[i * n + k] * b[k * n + j];
      c[i * n + j] = sum;
    }
}
#define TILE 16
void multiply_tile(int32_t c[TILE][TILE], const int8_t a[TILE][64], const int8_t b[TILE][64]) {
  for (int i = 0; i < TILE; i++)
    for (int j = 0; j < TILE; j++)
      for (int k = 0; k < 64; k++) c[i][j] += a[i][k] * b[j][k];
}
uint8_t look_up[256];
void substitute(uint8_t *a, size_t n) { for (size_t i = 0; i < n; i++) a[i] = look_up[a[i]]; }
void permute_32(uint8_t *restrict a, const uint8_t *b, const uint8_t *at) {
  for (int i = 0; i < 32; i++) a[i] = b[at[i] & 31];
}
size_t intersect(uint32_t *restrict out, const uint32_t *a, const uint32_t *b, size_t n, size_t m) {
  size_t found = 0;
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < m; j++)
      if (a[i] == b[j]) out[found++] = a[i];
  return found;
}

/* Inner loops of checksums, hashes and ciphers in portable code. */
uint32_t crc32(uint32_t crc, const uint8_t *a, size_t n) {
  for (size_t i = 0; i < n; i++) {
    crc ^= a[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0xedb88320u & (uint32_t)-(int32_t)(crc & 1));
  }
  return crc;
}
uint64_t carryless(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  for (int bit = 0; bit < 64; bit++) product ^= (b >> bit & 1) ? a << bit : 0;
  return product;
}
uint8_t galois(uint8_t a, uint8_t b) {
  uint8_t product = 0;
  for (int bit = 0; bit < 8; bit++) {
    product ^= b & 1 ? a : 0;
    a = (uint8_t)(a << 1 ^ (a & 0x80 ? 0x1b : 0));
    b >>= 1;
  }
  return product;
}
void galois_all(uint8_t *a, uint8_t by, size_t n) { for (size_t i = 0; i < n; i++) a[i] = galois(a[i], by); }
static uint32_t turn(uint32_t v, int by) { return v >> by | v << (32 - by); }
static uint64_t turn_64(uint64_t v, int by) { return v >> by | v << (64 - by); }
void sha256_rounds(uint32_t s[8], const uint32_t w[64], const uint32_t k[64]) {
  for (int i = 0; i < 64; i++) {
    uint32_t t1 = s[7] + (turn(s[4], 6) ^ turn(s[4], 11) ^ turn(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
    uint32_t t2 = (turn(s[0], 2) ^ turn(s[0], 13) ^ turn(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
    s[7] = s[6]; s[6] = s[5]; s[5] = s[4]; s[4] = s[3] + t1; s[3] = s[2]; s[2] = s[1]; s[1] = s[0]; s[0] = t1 + t2;
  }
}
void sha512_schedule(uint64_t w[80]) {
  for (int i = 16; i < 80; i++) {
    uint64_t s0 = turn_64(w[i - 15], 1) ^ turn_64(w[i - 15], 8) ^ w[i - 15] >> 7;
    uint64_t s1 = turn_64(w[i - 2], 19) ^ turn_64(w[i - 2], 61) ^ w[i - 2] >> 6;
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
}
void aes_columns(uint8_t s[16], const uint8_t key[16]) {
  for (int i = 0; i < 16; i++) s[i] = look_up[s[i]] ^ key[i];
  for (int c = 0; c < 16; c += 4) {
    uint8_t all = s[c] ^ s[c + 1] ^ s[c + 2] ^ s[c + 3], first = s[c];
    for (int i = 0; i < 4; i++) {
      uint8_t next = i == 3 ? first : s[c + i + 1], both = s[c + i] ^ next;
      s[c + i] ^= all ^ (uint8_t)(both << 1 ^ (both >> 7) * 0x1b);
    }
  }
}
void chacha_rounds(uint32_t x[16]) {
  for (int round = 0; round < 10; round++)
    for (int i = 0; i < 4; i++) {
      x[i] += x[4 + i]; x[12 + i] = turn(x[12 + i] ^ x[i], 16);
      x[8 + i] += x[12 + i]; x[4 + i] = turn(x[4 + i] ^ x[8 + i], 20);
    }
}
uint64_t xorshift(uint64_t *state) {
  *state ^= *state << 13; *state ^= *state >> 7; *state ^= *state << 17;
  return *state;
}
int random_number(void) { return rand(); }
