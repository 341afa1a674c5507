/* Text to, and the end of, the emulator: what Arm calls semihosting. */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H
#include <stdint.h>

static inline uint32_t semihost(uint32_t operation, uint32_t argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register uint32_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static inline void print_text(const char *text) { semihost(0x04u, (uint32_t)(uintptr_t)text); }

/* Eight hexadecimal digits. */
static inline void print_word(uint32_t word)
{
    char text[10];
    for (int i = 0; i < 8; i++)
        text[i] = "0123456789abcdef"[word >> (28 - 4 * i) & 0xFu];
    text[8] = '\n';
    text[9] = 0;
    print_text(text);
}

static inline void print_float(float value)
{
    union {
        float value;
        uint32_t bits;
    } word = {value};
    print_word(word.bits);
}

static inline void leave(void)
{
    for (;;)
        semihost(0x18u, 0x20026u); /* SYS_EXIT, the application has ended */
}

#endif
