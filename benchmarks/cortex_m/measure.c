/* Measures a policy on an emulated Cortex-M and prints words: the bytes of stack of an action, the timer's ticks of a
   loop of known length, and for each observation the ticks of REPEATS actions and the bits of the action. */
#include "observations.h"
#include "policy.h"
#include "semihosting.h"

#define SYSTICK ((volatile uint32_t *)0xE000E010u)
#define PAINT 0xA5C35A3Cu

/* A memory begins anew with every observation. */
#ifdef POLICY_STATE_BYTES
static policy_state state;
#define ACT(observation, action) policy_act(&state, observation, action)
#define RESET() policy_reset(&state)
#else
#define ACT(observation, action) policy_act(observation, action)
#define RESET() (void)0
#endif

extern uint32_t stack_bottom[];

/* Below this function's own frame nothing lives: it is painted, and what is no longer so afterwards was used. */
__attribute__((noinline)) static uint32_t stack_bytes(const float *observation, float *action)
{
    uint32_t *top;
    __asm__ volatile("mov %0, sp" : "=r"(top));
    for (volatile uint32_t *word = stack_bottom; word < top; word++)
        *word = PAINT;
    ACT(observation, action);
    volatile uint32_t *lowest = stack_bottom;
    while (lowest < top && *lowest == PAINT)
        lowest++;
    return (uint32_t)((uintptr_t)top - (uintptr_t)lowest);
}

static uint32_t now(void) { return SYSTICK[2]; }

/* The timer counts down, with 24 bits. */
static uint32_t ticks_since(uint32_t start) { return (start - now()) & 0xFFFFFFu; }

static uint32_t ticks_of_known_loop(void)
{
    uint32_t left = KNOWN_INSTRUCTIONS / 2;
    const uint32_t start = now();
    __asm__ volatile("1: subs %0, #1\n\tbne 1b" : "+r"(left) : : "cc");
    return ticks_since(start);
}

int main(void)
{
    float action[POLICY_ACTION_SIZE];
    SYSTICK[1] = 0xFFFFFFu;
    SYSTICK[2] = 0u;
    SYSTICK[0] = 5u; /* the processor's clock, no interrupt, on */
    print_text(policy_kernel());
    print_text("\n");
    RESET();
    print_word(stack_bytes(observations, action));
    print_word(ticks_of_known_loop());
    for (uint32_t row = 0; row < OBSERVATIONS; row++) {
        RESET();
        const uint32_t start = now();
        for (uint32_t i = 0; i < REPEATS; i++)
            ACT(observations + row * POLICY_OBSERVATION_SIZE, action);
        print_word(ticks_since(start));
        for (int i = 0; i < POLICY_ACTION_SIZE; i++)
            print_float(action[i]);
    }
    leave();
}
