/* SAC (Haarnoja et al. 2018), as Stable-Baselines3 has it. */
#ifndef PP_SAC_H
#define PP_SAC_H
#include "update.h"

#define PP_LOG_STD_MIN (-20.0f)
#define PP_LOG_STD_MAX 2.0f
#define PP_SQUASH_EPSILON 1e-6f
#define PP_HALF_LOG_TAU 0.91893853320467274178f

static inline float pp_log_std(float given)
{
    const float most = given < PP_LOG_STD_MAX ? given : PP_LOG_STD_MAX;
    return most > PP_LOG_STD_MIN ? most : PP_LOG_STD_MIN;
}

/* The sampled actions of an actor whose outputs are means, then log deviations; and the logarithm of their density. */
static void pp_sample(const pp_update *update, const pp_pass *pass, const float *noise, float *chosen, float *density)
{
    const pp_int actions = (pp_int)update->action_size, last = (pp_int)update->actor.count;
    for (pp_int r = 0; r < update->batch; r++) {
        const float *mean = pass->x[last] + r * pass->stride[last], *given = mean + actions;
        float sum = 0.0f;
        for (pp_int i = 0; i < actions; i++) {
            const float drawn = noise[r * actions + i], log_std = pp_log_std(given[i]);
            const float action = tanhf(mean[i] + drawn * expf(log_std));
            sum += -log_std - 0.5f * drawn * drawn - PP_HALF_LOG_TAU;
            sum -= logf(1.0f - action * action + PP_SQUASH_EPSILON);
            chosen[r * actions + i] = action;
        }
        density[r] = sum;
    }
}

/* The entropy coefficient of this update, and a step of it: the loss is −log α · mean(log π + H). */
static float pp_temperature(const pp_update *update, const float *density)
{
    const pp_tensor *tensor = &update->log_temperature;
    if (tensor->value == NULL)
        return (float)update->temperature;
    const float temperature = expf(*tensor->value);
    double sum = 0.0;
    for (pp_int r = 0; r < update->batch; r++)
        sum += (double)density[r];
    const float gap = (float)(sum / (double)update->batch + update->target_entropy), slope = -gap;
    update->losses[2] = -(*tensor->value * gap);
    const pp_step step = pp_next_step(&update->temperature_adam, tensor);
    pp_move(&step, tensor, 0, &slope, 1);
    return temperature;
}

/* Temperature and critics learn. What the actor did stays in scratch memory for pp_sac_actions. */
static void pp_sac_values(const pp_update *update, pp_space *space)
{
    const pp_int batch = (pp_int)update->batch, seen = (pp_int)update->observation_size;
    pp_renew(&update->actor, 1, -1, &space->actor);
    pp_read(&space->actor_pass, update->observations, seen);
    pp_forward(&update->actor, &space->actor, &space->work, batch, &space->actor_pass, 1);
    pp_sample(update, &space->actor_pass, update->noise, space->chosen, space->density);
    const float temperature = pp_temperature(update, space->density);
    update->losses[3] = temperature;
    pp_read(&space->next_pass, update->next_observations, seen);
    pp_forward(&update->actor, &space->actor, &space->work, batch, &space->next_pass, 0);
    float *density = space->slope; /* of the next actions; free until the actor learns */
    pp_sample(update, &space->next_pass, update->next_noise, space->next_chosen, density);
    pp_find_goals(update, space, density, temperature);
    pp_learn_values(update, space, 0.5);
}

/* Slopes of the values: −1 / batch for the least of the critics, shared where several are. */
static void pp_sac_blame(const pp_update *update, pp_space *space)
{
    const pp_int batch = (pp_int)update->batch, critics = (pp_int)update->critic_count;
    pp_clear(space->slope, batch * (pp_int)update->action_size * (pp_int)sizeof(float));
    for (pp_int c = 0; c < critics; c++) {
        for (pp_int r = 0; r < batch; r++) {
            const float value = pp_value(update, space, c, r);
            int alike = 0, least = 1;
            for (pp_int other = 0; other < critics; other++) {
                const float against = pp_value(update, space, other, r);
                least = least && value <= against;
                alike += value == against;
            }
            space->work.slopes[0][r * space->work.slope_stride] = least ? -1.0f / ((float)batch * (float)alike) : 0.0f;
        }
        pp_blame_actions(update, space, c);
    }
}

/* The actor learns: its loss is mean(α · log π − least value). */
static void pp_sac_actions(const pp_update *update, pp_space *space)
{
    const pp_int batch = (pp_int)update->batch, actions = (pp_int)update->action_size;
    const pp_int last = (pp_int)update->actor.count, critics = (pp_int)update->critic_count;
    const float temperature = update->losses[3], share = temperature / (float)batch;
    double loss = 0.0;
    pp_judge(update, space, critics);
    for (pp_int r = 0; r < batch; r++) {
        float least = pp_value(update, space, 0, r);
        for (pp_int c = 1; c < critics; c++)
            least = pp_value(update, space, c, r) < least ? pp_value(update, space, c, r) : least;
        loss += (double)(temperature * space->density[r] - least);
    }
    update->losses[1] = (float)(loss / (double)batch);
    pp_sac_blame(update, space);
    for (pp_int r = 0; r < batch; r++) {
        const float *given = space->actor_pass.x[last] + r * space->actor_pass.stride[last] + actions;
        float *slopes = space->work.slopes[0] + r * space->work.slope_stride;
        for (pp_int i = 0; i < actions; i++) {
            const float action = space->chosen[r * actions + i], open = 1.0f - action * action;
            const float drawn = update->noise[r * actions + i], log_std = pp_log_std(given[i]);
            const float whole = space->slope[r * actions + i] + share * 2.0f * action / (open + PP_SQUASH_EPSILON);
            const float mean = whole * open;
            const int inside = given[i] >= PP_LOG_STD_MIN && given[i] <= PP_LOG_STD_MAX;
            slopes[i] = mean;
            slopes[actions + i] = inside ? mean * drawn * expf(log_std) - share : 0.0f;
        }
    }
    pp_learner learner = {&update->actor_adam, NULL};
    pp_backward(&update->actor, &space->actor, &space->work, batch, &space->actor_pass, &learner);
}
#endif
