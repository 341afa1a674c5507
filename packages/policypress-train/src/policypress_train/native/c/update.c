/* The gradient steps of DQN, SAC, TD3, DDPG and PPO, and of TRPO's critic. Single-threaded; no state besides the
   caller's. */
#include "acting.h"
#include "dqn.h"
#include "ppo.h"
#include "sac.h"
#include "td3.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#define PP_PUBLIC __attribute__((visibility("default")))
typedef void (*pp_phase)(const pp_update *update, pp_space *space);

PP_PUBLIC int64_t pp_update_bytes(void);
PP_PUBLIC int64_t pp_scratch_bytes(const pp_update *update);
PP_PUBLIC int pp_supported(void);
PP_PUBLIC void pp_sample_replay(const pp_memory *memory, const int64_t *indices, const pp_update *update);
PP_PUBLIC void pp_sac_update_critics(const pp_update *update);
PP_PUBLIC void pp_sac_update_actor(const pp_update *update);
PP_PUBLIC void pp_td3_update_critics(const pp_update *update);
PP_PUBLIC void pp_td3_update_actor(const pp_update *update);
PP_PUBLIC void pp_dqn_update(const pp_update *update);
PP_PUBLIC int64_t pp_rollout_bytes(void);
PP_PUBLIC int64_t pp_rollout_scratch_bytes(const pp_rollout *rollout);
PP_PUBLIC int64_t pp_ppo_update(const pp_rollout *rollout, const int64_t *indices, int64_t count);
PP_PUBLIC void pp_fit_values(const pp_rollout *rollout, const int64_t *indices, int64_t count);
PP_PUBLIC void pp_polyak_update(const pp_network *targets, const pp_network *sources, int64_t count, double tau);
PP_PUBLIC int64_t pp_act(const pp_network *net, const float *input, int64_t rows, int64_t cached, void *scratch,
                         float *output);
PP_PUBLIC void pp_explore(const float *output, const float *noise, int64_t rows, int64_t actions,
                          float *policy_actions);
PP_PUBLIC void pp_product(const float *left, const float *right, int64_t rows, int64_t depth, int64_t columns,
                          int64_t left_transposed, int64_t right_transposed, int64_t exact, void *scratch, float *to);
PP_PUBLIC void pp_quotients(const float *x, int64_t count, float divisor, float *to);
PP_PUBLIC int64_t pp_product_bytes(int64_t rows, int64_t depth, int64_t columns);

/* Flush denormals to zero: the Adam moments of dead units end there, and each would cost a hundred cycles. */
static unsigned pp_begin(void)
{
    unsigned before = 0;
#if defined(__x86_64__)
    before = _mm_getcsr();
    _mm_setcsr(before | 0x8040u);
#endif
    pp_begin_products();
    return before;
}

static void pp_end(unsigned before)
{
    pp_end_products();
#if defined(__x86_64__)
    _mm_setcsr(before);
#else
    (void)before;
#endif
}

static void pp_run(const pp_update *update, pp_phase phase)
{
    pp_space *space = (pp_space *)update->scratch;
    const unsigned before = pp_begin();
    pp_carve_space(update, space);
    phase(update, space);
    pp_end(before);
}

/* Size of the structure that the caller fills in. */
int64_t pp_update_bytes(void)
{
    return (int64_t)sizeof(pp_update);
}

/* Bytes of scratch memory that an update needs, aligned to a cache line. Called with a NULL `scratch`. */
int64_t pp_scratch_bytes(const pp_update *update)
{
    pp_space space;
    return (int64_t)pp_carve_space(update, &space);
}

/* Whether this processor and system support the kernels compiled in. */
int pp_supported(void)
{
    const int may = pp_begin_products();
    if (may)
        pp_end_products();
    return may;
}

/* Copy the transitions at these indices of a replay buffer into the batch of an update. */
void pp_sample_replay(const pp_memory *memory, const int64_t *indices, const pp_update *update)
{
    const pp_int obs_size = (pp_int)update->observation_size, action_size = (pp_int)update->action_size;
    float *observations = (float *)update->observations, *next = (float *)update->next_observations;
    float *actions = (float *)update->actions, *rewards = (float *)update->rewards, *dones = (float *)update->dones;
    for (pp_int r = 0; r < update->batch; r++) {
        const pp_int at = (pp_int)indices[r];
        pp_copy(observations + r * obs_size, memory->observations + at * obs_size, obs_size * (pp_int)sizeof(float));
        pp_copy(next + r * obs_size, memory->next_observations + at * obs_size, obs_size * (pp_int)sizeof(float));
        pp_copy(actions + r * action_size, memory->actions + at * action_size, action_size * (pp_int)sizeof(float));
        rewards[r] = memory->rewards[at];
        dones[r] = memory->dones[at] * (1.0f - memory->timeouts[at]);
    }
}

void pp_sac_update_critics(const pp_update *update)
{
    pp_run(update, pp_sac_critics);
}
void pp_sac_update_actor(const pp_update *update)
{
    pp_run(update, pp_sac_actor);
}
void pp_td3_update_critics(const pp_update *update)
{
    pp_run(update, pp_td3_critics);
}
void pp_td3_update_actor(const pp_update *update)
{
    pp_run(update, pp_td3_actor);
}

void pp_dqn_update(const pp_update *update)
{
    pp_run(update, pp_dqn_step);
}

/* Size of the structure that the caller fills in. */
int64_t pp_rollout_bytes(void)
{
    return (int64_t)sizeof(pp_rollout);
}

/* Bytes of scratch memory that a minibatch needs, aligned to a cache line. Called with a NULL `scratch`. */
int64_t pp_rollout_scratch_bytes(const pp_rollout *rollout)
{
    pp_rollout_space space;
    return (int64_t)pp_carve_rollout_space(rollout, &space);
}

/* One PPO step on a minibatch of at most the reserved size. Returns 0 if the KL limit was exceeded and no step taken.
 */
int64_t pp_ppo_update(const pp_rollout *rollout, const int64_t *indices, int64_t count)
{
    const unsigned before = pp_begin();
    const int learned = pp_ppo_minibatch(rollout, indices, (pp_int)count);
    pp_end(before);
    return learned;
}

/* One step of the critic towards the returns of a minibatch. */
void pp_fit_values(const pp_rollout *rollout, const int64_t *indices, int64_t count)
{
    const unsigned before = pp_begin();
    pp_fit_values_minibatch(rollout, indices, (pp_int)count);
    pp_end(before);
}

void pp_polyak_update(const pp_network *targets, const pp_network *sources, int64_t count, double tau)
{
    const unsigned before = pp_begin();
    for (int64_t i = 0; i < count; i++)
        pp_polyak_network(&targets[i], &sources[i], tau);
    pp_end(before);
}

/* Outputs of a network for a few rows. Returns the bytes of scratch memory, aligned to a cache line; does only that if
   `scratch` is NULL. `cached`: parameters and ranges have not changed since the last call with this memory. */
int64_t pp_act(const pp_network *net, const float *input, int64_t rows, int64_t cached, void *scratch, float *output)
{
    const unsigned before = pp_begin();
    const pp_int bytes = pp_act_rows(net, input, (pp_int)rows, cached != 0, scratch, output);
    pp_end(before);
    return (int64_t)bytes;
}

/* Exploration actions in [−1, 1] from an actor's outputs: tanh(mean), or tanh(mean + std · noise) if there is noise
   (each row then holds means followed by log stds). */
void pp_explore(const float *output, const float *noise, int64_t rows, int64_t actions, float *policy_actions)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < actions; i++) {
            const float *row = output + r * (noise == NULL ? actions : 2 * actions);
            const float moved = noise == NULL ? 0.0f : noise[r * actions + i] * expf(pp_log_std(row[actions + i]));
            policy_actions[r * actions + i] = tanhf(row[i] + moved);
        }
}

/* One matrix product, with a stride of whole tiles in `to`; for tests. */
void pp_product(const float *left, const float *right, int64_t rows, int64_t depth, int64_t columns,
                int64_t left_transposed, int64_t right_transposed, int64_t exact, void *scratch, float *to)
{
    const pp_epilogue no_epilogue = {NULL, NULL, 0, NULL, 0, 0.0f, 0.0f};
    pp_arena arena = {(char *)scratch, 0};
    void *a = pp_carve(&arena, pp_left_bytes((pp_int)rows, (pp_int)depth));
    void *b = pp_carve(&arena, pp_right_bytes((pp_int)depth, (pp_int)columns));
    const unsigned before = pp_begin();
    pp_pack_left(left, (pp_int)(left_transposed ? rows : depth), (pp_int)rows, (pp_int)depth, left_transposed != 0,
                 ((int)exact & PP_EXACT_LEFT) != 0 && ((int)exact & PP_EXACT_RIGHT) != 0, a);
    pp_pack_right(right, (pp_int)(right_transposed ? depth : columns), (pp_int)depth, (pp_int)columns,
                  right_transposed != 0, ((int)exact & PP_EXACT_RIGHT) != 0, b);
    pp_multiply(a, b, (pp_int)rows, (pp_int)depth, (pp_int)columns, (int)exact, to, pp_stride((pp_int)columns),
                &no_epilogue);
    pp_end(before);
}

/* Many numbers divided by one; for tests. */
void pp_quotients(const float *x, int64_t count, float divisor, float *to)
{
    const float inverse = 1.0f / divisor;
    for (int64_t i = 0; i < count; i++)
        to[i] = pp_quotient(x[i], divisor, inverse);
}

int64_t pp_product_bytes(int64_t rows, int64_t depth, int64_t columns)
{
    return (int64_t)(pp_up(pp_left_bytes((pp_int)rows, (pp_int)depth), PP_LINE) +
                     pp_up(pp_right_bytes((pp_int)depth, (pp_int)columns), PP_LINE));
}
