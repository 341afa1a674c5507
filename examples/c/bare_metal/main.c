/* A policy on a bare Cortex-M: SysTick sets the pace, the main loop acts, nothing is allocated. */
#include <stdint.h>

#include "board.h"
#include "policy.h"

#define CONTROL_HZ 100u
/* This many periods in a row without an action are bridged with the last one. */
#define PERIODS_TO_BRIDGE 3u

#define SYSTICK ((volatile uint32_t *)0xE000E010u)

static volatile uint32_t periods;

void SysTick_Handler(void);
void SysTick_Handler(void) { periods++; }

static void start_timer(void)
{
    SYSTICK[1] = BOARD_CLOCK_HZ / CONTROL_HZ - 1u; /* reload */
    SYSTICK[2] = 0u;                               /* current value */
    SYSTICK[0] = 7u;                               /* the processor's clock, interrupt, on */
}

/* Sleeps until the timer has been there since `seen`. Interrupts are off between the look and the sleep, which ends
   all the same when one is pending: none is missed. */
static uint32_t next_period(uint32_t seen)
{
    for (;;) {
        __asm__ volatile("cpsid i" ::: "memory");
        const uint32_t now = periods;
        if (now == seen)
            __asm__ volatile("wfi");
        __asm__ volatile("cpsie i" ::: "memory");
        if (now != seen)
            return now;
    }
}

int main(void)
{
    static float observation[POLICY_OBSERVATION_SIZE], action[POLICY_ACTION_SIZE];
    uint32_t seen = 0, acted = 0;

    start_timer();
    for (;;) {
        seen = next_period(seen);
        /* Where an observation is not finite, the status says so and the last action stays in place. */
        if (board_read_sensors(observation) && !(policy_act(observation, action) & POLICY_NOT_FINITE))
            acted = seen;
        if (seen - acted > PERIODS_TO_BRIDGE)
            board_stop();
        else
            board_drive_motors(action);
    }
}
