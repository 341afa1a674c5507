/* SAC (Haarnoja et al. 2018), as in Stable-Baselines3. */
#ifndef PP_SAC_H
#define PP_SAC_H
#include "update.h"

#define PP_LOG_STD_MIN (-20.0f)
#define PP_LOG_STD_MAX 2.0f
#define PP_SQUASH_EPSILON 1e-6f
#define PP_HALF_LOG_TWO_PI 0.91893853320467274178f

static inline float pp_log_std(float raw_log_std)
{
    const float capped = raw_log_std < PP_LOG_STD_MAX ? raw_log_std : PP_LOG_STD_MAX;
    return capped > PP_LOG_STD_MIN ? capped : PP_LOG_STD_MIN;
}

/* Sample squashed Gaussian actions and their log-probabilities. The actor's outputs are means, then log stds. */
static void pp_sample(const pp_update *update, const pp_pass *pass, const float *noise, float *policy_actions,
                      float *log_prob)
{
    const pp_int actions = (pp_int)update->action_size, last = (pp_int)update->actor.count;
    for (pp_int r = 0; r < update->batch; r++) {
        const float *mean = pass->x[last] + r * pass->stride[last], *raw_log_std = mean + actions;
        float sum = 0.0f;
        for (pp_int i = 0; i < actions; i++) {
            const float epsilon = noise[r * actions + i], log_std = pp_log_std(raw_log_std[i]);
            const float action = tanhf(mean[i] + epsilon * expf(log_std));
            sum += -log_std - 0.5f * epsilon * epsilon - PP_HALF_LOG_TWO_PI;
            sum -= logf(1.0f - action * action + PP_SQUASH_EPSILON);
            policy_actions[r * actions + i] = action;
        }
        log_prob[r] = sum;
    }
}

/* The entropy coefficient of this update, and a gradient step of it: the loss is −log α · mean(log π + H). */
static float pp_temperature(const pp_update *update, const float *log_prob)
{
    const pp_tensor *tensor = &update->log_temperature;
    if (tensor->value == NULL)
        return (float)update->temperature;
    const float temperature = expf(*tensor->value);
    double sum = 0.0;
    for (pp_int r = 0; r < update->batch; r++)
        sum += (double)log_prob[r];
    const float gap = (float)(sum / (double)update->batch + update->target_entropy), grad = -gap;
    update->losses[2] = -(*tensor->value * gap);
    const pp_step_factors step = pp_step_factors_of(&update->temperature_adam, tensor);
    pp_adam_step(&step, tensor, 0, &grad, 1);
    return temperature;
}

/* Gradient step of temperature and critics. The actor's pass stays in scratch memory for pp_sac_actor. */
static void pp_sac_critics(const pp_update *update, pp_space *space)
{
    const pp_int batch = (pp_int)update->batch, obs_size = (pp_int)update->observation_size;
    pp_invalidate(&update->actor, 1, -1, &space->actor);
    pp_set_input(&space->actor_pass, update->observations, obs_size);
    pp_forward(&update->actor, &space->actor, &space->work, batch, &space->actor_pass, 1);
    pp_sample(update, &space->actor_pass, update->noise, space->policy_actions, space->log_prob);
    const float temperature = pp_temperature(update, space->log_prob);
    update->losses[3] = temperature;
    pp_set_input(&space->next_pass, update->next_observations, obs_size);
    pp_forward(&update->actor, &space->actor, &space->work, batch, &space->next_pass, 0);
    float *log_prob = space->action_gradients; /* of the next actions; the buffer is unused until the actor's step */
    pp_sample(update, &space->next_pass, update->next_noise, space->next_policy_actions, log_prob);
    pp_td_targets(update, space, log_prob, temperature);
    pp_critic_update(update, space, 0.5);
}

/* Gradients of the values: −1 / batch for the critic with the smallest value, shared among ties. */
static void pp_sac_action_gradients(const pp_update *update, pp_space *space)
{
    const pp_int batch = (pp_int)update->batch, critics = (pp_int)update->critic_count;
    pp_clear(space->action_gradients, batch * (pp_int)update->action_size * (pp_int)sizeof(float));
    for (pp_int c = 0; c < critics; c++) {
        for (pp_int r = 0; r < batch; r++) {
            const float value = pp_value(update, space, c, r);
            int ties = 0, is_min = 1;
            for (pp_int other = 0; other < critics; other++) {
                const float against = pp_value(update, space, other, r);
                is_min = is_min && value <= against;
                ties += value == against;
            }
            space->work.gradients[0][r * space->work.gradient_stride] =
                is_min ? -1.0f / ((float)batch * (float)ties) : 0.0f;
        }
        pp_action_gradients(update, space, c);
    }
}

/* Gradient step of the actor: the loss is mean(α · log π − min Q). */
static void pp_sac_actor(const pp_update *update, pp_space *space)
{
    const pp_int batch = (pp_int)update->batch, actions = (pp_int)update->action_size;
    const pp_int last = (pp_int)update->actor.count, critics = (pp_int)update->critic_count;
    const float temperature = update->losses[3], share = temperature / (float)batch;
    double loss = 0.0;
    pp_critic_forward(update, space, critics);
    for (pp_int r = 0; r < batch; r++) {
        float min_q = pp_value(update, space, 0, r);
        for (pp_int c = 1; c < critics; c++)
            min_q = pp_value(update, space, c, r) < min_q ? pp_value(update, space, c, r) : min_q;
        loss += (double)(temperature * space->log_prob[r] - min_q);
    }
    update->losses[1] = (float)(loss / (double)batch);
    pp_sac_action_gradients(update, space);
    for (pp_int r = 0; r < batch; r++) {
        const float *raw_log_std = space->actor_pass.x[last] + r * space->actor_pass.stride[last] + actions;
        float *gradients = space->work.gradients[0] + r * space->work.gradient_stride;
        for (pp_int i = 0; i < actions; i++) {
            const float action = space->policy_actions[r * actions + i], tanh_grad = 1.0f - action * action;
            const float epsilon = update->noise[r * actions + i], log_std = pp_log_std(raw_log_std[i]);
            const float action_grad =
                space->action_gradients[r * actions + i] + share * 2.0f * action / (tanh_grad + PP_SQUASH_EPSILON);
            const float mean = action_grad * tanh_grad;
            const int inside = raw_log_std[i] >= PP_LOG_STD_MIN && raw_log_std[i] <= PP_LOG_STD_MAX;
            gradients[i] = mean;
            gradients[actions + i] = inside ? mean * epsilon * expf(log_std) - share : 0.0f;
        }
    }
    pp_learner learner = {&update->actor_adam, NULL};
    pp_backward(&update->actor, &space->actor, &space->work, batch, &space->actor_pass, &learner);
}
#endif
