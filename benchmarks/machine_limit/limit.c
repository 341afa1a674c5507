/* What one core can do at most: bytes read per second from a working set of a given size, by the widest loads that the
   processor has, and multiply-accumulates per second with everything in registers. Built as a shared library. */
#define _POSIX_C_SOURCE 199309L
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#define REPEAT20(m) m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9) m(10) m(11) m(12) m(13) m(14) m(15) m(16) m(17) m(18) m(19)
#define REPEAT10(m) m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9)

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void read_avx512(const uint8_t *at, size_t bytes)
{
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    for (const uint8_t *end = at + bytes; at < end; at += 512) {
        a = _mm512_or_si512(a, _mm512_or_si512(_mm512_loadu_si512(at), _mm512_loadu_si512(at + 64)));
        b = _mm512_or_si512(b, _mm512_or_si512(_mm512_loadu_si512(at + 128), _mm512_loadu_si512(at + 192)));
        c = _mm512_or_si512(c, _mm512_or_si512(_mm512_loadu_si512(at + 256), _mm512_loadu_si512(at + 320)));
        d = _mm512_or_si512(d, _mm512_or_si512(_mm512_loadu_si512(at + 384), _mm512_loadu_si512(at + 448)));
    }
    a = _mm512_or_si512(_mm512_or_si512(a, b), _mm512_or_si512(c, d));
    __asm__ volatile("" : : "v"(a));
}

__attribute__((target("avx2"))) static void read_avx2(const uint8_t *at, size_t bytes)
{
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
#define OR_AVX2(sum, i) sum = _mm256_or_si256(sum, _mm256_loadu_si256((const __m256i *)(const void *)(at + 32 * (i))));
    for (const uint8_t *end = at + bytes; at < end; at += 256) {
        OR_AVX2(a, 0) OR_AVX2(b, 1) OR_AVX2(c, 2) OR_AVX2(d, 3) OR_AVX2(a, 4) OR_AVX2(b, 5) OR_AVX2(c, 6) OR_AVX2(d, 7)
    }
    a = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
    __asm__ volatile("" : : "x"(a));
}

#define ZERO(i) s##i = a;
#define DPBUSD_512(i) __asm__("vpdpbusd %1, %1, %0" : "+v"(s##i) : "v"(a));
#define FMA_512(i) __asm__("vfmadd231ps %1, %1, %0" : "+v"(s##i) : "v"(a));
#define DPBUSD_256(i) __asm__("%{vex%} vpdpbusd %1, %1, %0" : "+x"(s##i) : "x"(a));
#define MADD_256(i) __asm__("vpmaddwd %1, %1, %%ymm15\n\tvpaddd %%ymm15, %0, %0" : "+x"(s##i) : "x"(a) : "xmm15");
#define FMA_256(i) __asm__("vfmadd231ps %1, %1, %0" : "+x"(s##i) : "x"(a));
#define USE_512(i) __asm__ volatile("" : : "v"(s##i));
#define USE_256(i) __asm__ volatile("" : : "x"(s##i));
#define PEAK_512(name, set, type, zero, operation)                                                  \
    __attribute__((target(set))) static void name(size_t count)                                     \
    {                                                                                               \
        type a = zero(), s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15, s16, \
             s17, s18, s19;                                                                         \
        REPEAT20(ZERO)                                                                              \
        for (size_t i = 0; i < count; i++) {                                                        \
            REPEAT20(operation)                                                                     \
        }                                                                                           \
        REPEAT20(USE_512)                                                                           \
    }
#define PEAK_256(name, set, type, zero, operation)                           \
    __attribute__((target(set))) static void name(size_t count)              \
    {                                                                        \
        type a = zero(), s0, s1, s2, s3, s4, s5, s6, s7, s8, s9;             \
        REPEAT10(ZERO)                                                       \
        for (size_t i = 0; i < count; i++) {                                 \
            REPEAT10(operation) REPEAT10(operation)                          \
        }                                                                    \
        REPEAT10(USE_256)                                                    \
    }
PEAK_512(int8_avx512vnni, "avx512f,avx512vnni", __m512i, _mm512_setzero_si512, DPBUSD_512)
PEAK_512(fp32_avx512, "avx512f", __m512, _mm512_setzero_ps, FMA_512)
PEAK_256(int8_avxvnni, "avx2,avxvnni", __m256i, _mm256_setzero_si256, DPBUSD_256)
PEAK_256(int8_avx2, "avx2", __m256i, _mm256_setzero_si256, MADD_256)
/* AMX: 16 rows by 64 inputs by 16 columns to an instruction, four sums that take turns. Linux has to be asked for tiles. */
#if defined(__linux__)
static int amx_here(void)
{
    unsigned a, b, c, d;
    long granted;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & (1u << 24)) == 0 || (d & (1u << 25)) == 0)
        return 0;
    __asm__ volatile("syscall" : "=a"(granted) : "a"(158L), "D"(0x1023L), "S"(18L) : "rcx", "r11", "memory");
    return granted == 0;
}

static void int8_amx(size_t count)
{
    static uint8_t shape[64] __attribute__((aligned(64))) = {1};
    for (int tile = 0; tile < 8; tile++) {
        shape[16 + 2 * tile] = 64;
        shape[48 + tile] = 16;
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(shape));
#define TDPBUSD(sum) __asm__ volatile("tdpbusd %%tmm5, %%tmm4, %%tmm" #sum : :);
    for (size_t i = 0; i < count; i++)
        for (int j = 0; j < 5; j++) {
            TDPBUSD(0) TDPBUSD(1) TDPBUSD(2) TDPBUSD(3)
        }
    __asm__ volatile("tilerelease" : :);
}
#endif
static int avxvnni_here(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 4)) != 0;
}
PEAK_256(fp32_avx2, "avx2,fma", __m256, _mm256_setzero_ps, FMA_256)
#elif defined(__aarch64__)
static void read_neon(const uint8_t *at, size_t bytes)
{
    uint8x16_t a = vdupq_n_u8(0), b = a, c = a, d = a;
    for (const uint8_t *end = at + bytes; at < end; at += 128) {
        a = vorrq_u8(a, vorrq_u8(vld1q_u8(at), vld1q_u8(at + 16)));
        b = vorrq_u8(b, vorrq_u8(vld1q_u8(at + 32), vld1q_u8(at + 48)));
        c = vorrq_u8(c, vorrq_u8(vld1q_u8(at + 64), vld1q_u8(at + 80)));
        d = vorrq_u8(d, vorrq_u8(vld1q_u8(at + 96), vld1q_u8(at + 112)));
    }
    a = vorrq_u8(vorrq_u8(a, b), vorrq_u8(c, d));
    __asm__ volatile("" : : "w"(a));
}

#define ZERO(i) s##i = a;
#define FMA_NEON(i) __asm__("fmla %0.4s, %1.4s, %1.4s" : "+w"(s##i) : "w"(a));
#define SDOT_NEON(i) __asm__(".arch armv8.2-a+dotprod\n\tsdot %0.4s, %1.16b, %1.16b" : "+w"(s##i) : "w"(a));
#define SMULL_NEON(i) __asm__("smull v31.8h, %1.8b, %1.8b\n\tsadalp %0.4s, v31.8h" : "+w"(s##i) : "w"(a) : "v31");
#define USE_NEON(i) __asm__ volatile("" : : "w"(s##i));
#define PEAK_NEON(name, operation)                                                                                  \
    static void name(size_t count)                                                                                  \
    {                                                                                                               \
        int32x4_t a = vdupq_n_s32(0), s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15, s16, s17, \
                  s18, s19;                                                                                         \
        REPEAT20(ZERO)                                                                                              \
        for (size_t i = 0; i < count; i++) {                                                                        \
            REPEAT20(operation)                                                                                     \
        }                                                                                                           \
        REPEAT20(USE_NEON)                                                                                          \
    }
PEAK_NEON(fp32_neon, FMA_NEON)
PEAK_NEON(int8_dotprod, SDOT_NEON)
PEAK_NEON(int8_neon, SMULL_NEON)
#endif

static int same(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b)
        a++, b++;
    return *a == *b;
}

/* An instruction set: its name, as the kernels call it, and its multiply-accumulates per instruction. */
typedef struct {
    const char *name;
    void (*read)(const uint8_t *at, size_t bytes);
    void (*int8)(size_t count);
    void (*fp32)(size_t count);
    double int8_macs, fp32_macs;
} unit;

static int find(const char *name, unit *found)
{
#if defined(__x86_64__)
    static const unit units[] = {
        {"avx512vnni", read_avx512, int8_avx512vnni, fp32_avx512, 64, 16},
        {"avxvnni", read_avx2, int8_avxvnni, fp32_avx2, 32, 8},
        {"avx2", read_avx2, int8_avx2, fp32_avx2, 16, 8},
#if defined(__linux__)
        {"amx", read_avx512, int8_amx, fp32_avx512, 16384, 16},
#endif
    };
    const int has[] = {
        __builtin_cpu_supports("avx512vnni") != 0,
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && avxvnni_here(),
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"),
#if defined(__linux__)
        name[0] != '\0' && __builtin_cpu_supports("avx512vnni") && amx_here(),
#endif
    };
#elif defined(__aarch64__)
    static const unit units[] = {
        {"dotprod", read_neon, int8_dotprod, fp32_neon, 16, 4},
        {"neon", read_neon, int8_neon, fp32_neon, 8, 4},
    };
    const int has[] = {(getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0, 1};
#else
    static const unit units[1];
    const int has[] = {0};
#endif
    for (size_t i = 0; i < sizeof has / sizeof has[0]; i++)
        if (has[i] && (name[0] == '\0' || same(name, units[i].name))) {
            *found = units[i];
            return 1;
        }
    return 0;
}

/* The widest instruction set of those that a lone row can use, which AMX is not; "" where there is none. */
const char *widest_unit(void)
{
    unit found;
    return find("", &found) ? found.name : "";
}

/* Bytes per second that `name` reads from a working set of `bytes` (a multiple of 512), the best of many passes that
   take `seconds` altogether; 0 where this machine has no such unit. */
double read_bytes_per_s(const char *name, const uint8_t *buffer, size_t bytes, double seconds)
{
    unit found;
    double best = 1e300;
    const size_t passes = 1 + (1 << 20) / bytes;
    if (!find(name, &found))
        return 0;
    for (const double end = now_s() + seconds; now_s() < end;) {
        const double start = now_s();
        for (size_t i = 0; i < passes; i++)
            found.read(buffer, bytes);
        const double spent = now_s() - start;
        best = spent < best ? spent : best;
    }
    return (double)bytes * (double)passes / best;
}

/* Multiply-accumulates per second of `name` with all operands in registers: of bytes into int32, or of floats. */
double peak_macs_per_s(const char *name, int floats, double seconds)
{
    unit found;
    double best = 1e300;
    const size_t count = 5000;
    if (!find(name, &found))
        return 0;
    for (const double end = now_s() + seconds; now_s() < end;) {
        const double start = now_s();
        (floats ? found.fp32 : found.int8)(count);
        const double spent = now_s() - start;
        best = spent < best ? spent : best;
    }
    return 20.0 * (double)count * (floats ? found.fp32_macs : found.int8_macs) / best;
}
