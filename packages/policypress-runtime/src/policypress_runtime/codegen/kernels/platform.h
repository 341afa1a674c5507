/* What every kernel stands on: fixed-width types, inlining, the instruction sets, and IEEE arithmetic as it is written. */
#ifndef PP_PLATFORM_H
#define PP_PLATFORM_H

#include <stddef.h>
#include <stdint.h>
/* What vectors of x86 need takes a compiler longer to read than all the rest; the plain kernels alone do without. */
#if defined(__x86_64__) && \
    (!defined(PP_WITHOUT_AVX2) || !defined(PP_WITHOUT_AVXVNNI) || !defined(PP_WITHOUT_AVX512VNNI))
#define PP_X86_VECTORS
#endif
#if defined(__x86_64__) && __STDC_HOSTED__
#include <cpuid.h>
#if defined(PP_X86_VECTORS)
#include <immintrin.h>
#endif
#elif defined(__aarch64__)
#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#endif

#if defined(__FAST_MATH__)
#error "policypress: build without -ffast-math; the policy was proved equal for IEEE arithmetic only"
#endif
#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0 && __FLT_EVAL_METHOD__ != 16
#error "policypress: float must be evaluated in float; on 32-bit x86 build with -msse2 -mfpmath=sse"
#endif

/* A compiler may join a * b + c into one fused operation, which rounds once less: other bits than were proved equal. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
/* It would say so where it optimises too little to unroll, for example at -O0. */
#pragma clang diagnostic ignored "-Wpass-failed"
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off", "no-trapping-math")
#endif

#if defined(__GNUC__) || defined(__clang__)
#define PP_INLINE static inline __attribute__((always_inline, unused))
#define PP_ALIGN(bytes) __attribute__((aligned(bytes)))
#define PP_COPY(to, from, bytes) __builtin_memcpy((to), (from), (bytes))
#else
#include <string.h>
#define PP_INLINE static inline
#define PP_ALIGN(bytes)
#define PP_COPY(to, from, bytes) memcpy((to), (from), (bytes))
#endif

/* Where constants lie: on an AVR in flash, which is read by other instructions than its few bytes of RAM. */
#if defined(__AVR__)
#if !defined(__FLASH)
#error "policypress: on an AVR compile with -std=gnu99 or newer, so that constants stay in flash"
#endif
#define PP_FLASH __flash
#else
#define PP_FLASH
#endif

/* PP_UNROLL: the loop that follows has a constant count, and its arrays are meant to live in registers. PP_ROLL: leave
   it a loop. */
#if defined(__clang__)
#define PP_UNROLL _Pragma("clang loop unroll(full)")
#define PP_ROLL _Pragma("clang loop unroll(disable)")
#elif defined(__GNUC__) && __GNUC__ >= 8
#define PP_UNROLL _Pragma("GCC unroll 64")
#define PP_ROLL _Pragma("GCC unroll 1")
#else
#define PP_UNROLL
#define PP_ROLL
#endif

#define PP_EACH(i, count) PP_UNROLL for (int i = 0; i < (count); i++)

/* Whether the compiler knows the value: what depends on it then costs nothing. */
#if defined(__GNUC__)
#define PP_KNOWN(value) __builtin_constant_p(value)
#else
#define PP_KNOWN(value) 0
#endif

/* The attribute of a function that may use an instruction set: the kernels of that suffix inline into such functions only. */
#define PP_TARGET_PLAIN
#if defined(__x86_64__) && defined(__GNUC__)
#define PP_TARGET_AVX2 __attribute__((target("avx2,fma")))
#define PP_TARGET_AVXVNNI __attribute__((target("avx2,fma,avxvnni")))
#define PP_TARGET_AVX512VNNI __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#endif
/* AMX needs an assembler that knows it, and Linux, which has to be asked. -DPP_WITHOUT_AMX leaves it out. */
#if defined(__x86_64__) && defined(__linux__) && __STDC_HOSTED__ && !defined(PP_WITHOUT_AMX) && \
    !defined(PP_WITHOUT_AVX512VNNI)
#if (defined(__clang__) && __clang_major__ >= 12) || (defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11)
#define PP_HAVE_AMX
#endif
#endif
#if defined(__aarch64__) && defined(__GNUC__)
#define PP_TARGET_NEON
#define PP_TARGET_DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))
#endif
#define PP_TARGET_DSP

/* How packed weights lie (packing.py; the generator defines these three for the layout that it packed for):
   a panel is PP_PANEL columns, the last one as many as are left, each padded to PP_COLUMNS; PP_SIGNED says that
   kernels take x - 128, as signed bytes, for which the bias is corrected. */
#ifndef PP_COLUMNS
#define PP_COLUMNS 16
#endif
#ifndef PP_PANEL
#define PP_PANEL 64
#endif
#ifndef PP_SIGNED
#define PP_SIGNED 0
#endif
#define PP_PADDED(n) (((n) + PP_COLUMNS - 1) / PP_COLUMNS * PP_COLUMNS)

PP_INLINE uint32_t pp_bits(float value)
{
    uint32_t bits;
    PP_COPY(&bits, &value, sizeof bits);
    return bits;
}

PP_INLINE float pp_float(uint32_t bits)
{
    float value;
    PP_COPY(&value, &bits, sizeof value);
    return value;
}

/* 1.5 * 2^23: adding it leaves no bits behind the point, so that the addition rounds to the nearest integer, ties to even. */
#define PP_ROUNDING 12582912.0f
#define PP_ROUNDING_BITS 0x4B400000u

/* |value| < 2^22 to the nearest integer, ties to even. */
PP_INLINE int32_t pp_to_integer(float value) { return (int32_t)(pp_bits(value + PP_ROUNDING) - PP_ROUNDING_BITS); }

/* The value, or 0 where `keep` is 0: without a branch, so that loops stay vectors. */
PP_INLINE float pp_keep(float value, int keep) { return pp_float(pp_bits(value) & (0u - (uint32_t)keep)); }

/* Into [lo, hi]; a NaN becomes lo, as with the max and min instructions of x86. */
PP_INLINE float pp_clamp(float value, float lo, float hi)
{
    value = value > lo ? value : lo;
    return value < hi ? value : hi;
}

#if defined(__x86_64__) && defined(__GNUC__) && __STDC_HOSTED__
/* What the processor has, and the operating system saves: bit `bit` of a register of CPUID, of 0 to 3 for a to d. */
PP_INLINE int pp_cpuid(unsigned leaf, unsigned subleaf, int which, int bit)
{
    unsigned value[4] = {0, 0, 0, 0};
    if (__get_cpuid_count(leaf, subleaf, &value[0], &value[1], &value[2], &value[3]) == 0)
        return 0;
    return (int)(value[which] >> bit & 1u);
}

PP_INLINE int pp_saves(uint32_t state)
{
    uint32_t low, high;
    if (!pp_cpuid(1, 0, 2, 27))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & state) == state;
}

PP_INLINE int pp_has_avx2(void) { return pp_saves(0x6) && pp_cpuid(7, 0, 1, 5) && pp_cpuid(1, 0, 2, 12); }
PP_INLINE int pp_has_avxvnni(void) { return pp_has_avx2() && pp_cpuid(7, 1, 0, 4); }
PP_INLINE int pp_has_avx512vnni(void)
{
    return pp_has_avx2() && pp_saves(0xE6) && pp_cpuid(7, 0, 1, 16) && pp_cpuid(7, 0, 1, 17) && pp_cpuid(7, 0, 1, 30) &&
           pp_cpuid(7, 0, 1, 31) && pp_cpuid(7, 0, 2, 11);
}

#if defined(PP_HAVE_AMX)
/* Linux gives a process tiles when it asks for them: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA). */
PP_INLINE int pp_may_use_tiles(void)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(158L), "D"(0x1023L), "S"(18L) : "rcx", "r11", "memory");
    return result == 0;
}

PP_INLINE int pp_has_amx(void)
{
    return pp_has_avx512vnni() && pp_saves(0x60000) && pp_cpuid(7, 0, 3, 24) && pp_cpuid(7, 0, 3, 25) && pp_may_use_tiles();
}
#endif
#endif

#if defined(__aarch64__)
/* Whether the processor has sdot: asked of Linux (bit 20 of the hardware capabilities), known on Apple's. */
PP_INLINE int pp_has_dotprod(void)
{
#if defined(__linux__)
    return (getauxval(AT_HWCAP) >> 20 & 1u) != 0u;
#elif defined(__ARM_FEATURE_DOTPROD)
    return 1;
#else
    return 0;
#endif
}
#endif

#endif
