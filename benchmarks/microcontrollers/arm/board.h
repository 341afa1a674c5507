/* A Cortex-M as QEMU has it: instructions by the system timer, compared with a loop of known length; text through
   semihosting. */
#include "../../cortex_m/semihosting.h"

#define SYSTICK ((volatile uint32_t *)0xE000E010u)
#define KNOWN_INSTRUCTIONS 2000000u

extern uint8_t stack_bottom[];
static uint32_t last_tick, ticks, known_ticks = 1u;

static inline volatile uint8_t *free_memory(void) { return stack_bottom; }
static inline volatile uint8_t *stack_pointer(void)
{
    volatile uint8_t *top;
    __asm__ volatile("mov %0, sp" : "=r"(top));
    return top;
}

/* The timer counts down, with 24 bits. */
static uint32_t counted(void)
{
    const uint32_t now = SYSTICK[2];
    ticks += (last_tick - now) & 0xFFFFFFu;
    last_tick = now;
    return (uint32_t)((uint64_t)ticks * KNOWN_INSTRUCTIONS / known_ticks);
}

static void start_board(void)
{
    uint32_t left = KNOWN_INSTRUCTIONS / 2u;
    SYSTICK[1] = 0xFFFFFFu;
    SYSTICK[2] = 0u;
    SYSTICK[0] = 5u; /* the processor's clock, no interrupt, on */
    last_tick = SYSTICK[2];
    __asm__ volatile("1: sub %0, #1\n\tcmp %0, #0\n\tbne 1b" : "+l"(left) : : "cc");
    (void)counted();
    known_ticks = ticks * 2u / 3u; /* three instructions a round, not two */
}
