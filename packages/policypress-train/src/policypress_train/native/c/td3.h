/* TD3 (Fujimoto et al. 2018) and DDPG (Lillicrap et al. 2016), as in Stable-Baselines3. */
#ifndef PP_TD3_H
#define PP_TD3_H
#include "update.h"

/* Actions of a deterministic actor: the tanh of its outputs. */
static void pp_actor_forward(const pp_update *update, const pp_network *actor, pp_space *space,
                             const float *observations, int learns, pp_pass *pass, float *policy_actions)
{
    const pp_int batch = (pp_int)update->batch, actions = (pp_int)update->action_size, last = (pp_int)actor->count;
    pp_invalidate(actor, learns, -1, &space->actor);
    pp_set_input(pass, observations, (pp_int)update->observation_size);
    pp_forward(actor, &space->actor, &space->work, batch, pass, learns);
    for (pp_int r = 0; r < batch; r++)
        for (pp_int i = 0; i < actions; i++)
            policy_actions[r * actions + i] = tanhf(pass->x[last][r * pass->stride[last] + i]);
}

/* Gradient step of the critics, with target policy smoothing. */
static void pp_td3_critics(const pp_update *update, pp_space *space)
{
    pp_actor_forward(update, &update->actor_target, space, update->next_observations, 0, &space->next_pass,
                     space->next_policy_actions);
    for (pp_int i = 0; i < update->batch * update->action_size; i++) {
        const float moved = space->next_policy_actions[i] + update->next_noise[i], capped = moved < 1.0f ? moved : 1.0f;
        space->next_policy_actions[i] = capped > -1.0f ? capped : -1.0f;
    }
    pp_td_targets(update, space, NULL, 0.0f);
    pp_critic_update(update, space, 1.0);
}

/* Gradient step of the actor: the loss is −mean(Q1). */
static void pp_td3_actor(const pp_update *update, pp_space *space)
{
    const pp_int batch = (pp_int)update->batch, actions = (pp_int)update->action_size;
    double loss = 0.0;
    pp_actor_forward(update, &update->actor, space, update->observations, 1, &space->actor_pass, space->policy_actions);
    pp_critic_forward(update, space, 1);
    for (pp_int r = 0; r < batch; r++) {
        loss -= (double)pp_value(update, space, 0, r);
        space->work.gradients[0][r * space->work.gradient_stride] = -1.0f / (float)batch;
    }
    update->losses[1] = (float)(loss / (double)batch);
    pp_clear(space->action_gradients, batch * actions * (pp_int)sizeof(float));
    pp_action_gradients(update, space, 0);
    for (pp_int r = 0; r < batch; r++)
        for (pp_int i = 0; i < actions; i++) {
            const float action = space->policy_actions[r * actions + i];
            space->work.gradients[0][r * space->work.gradient_stride + i] =
                space->action_gradients[r * actions + i] * (1.0f - action * action);
        }
    pp_learner learner = {&update->actor_adam, NULL};
    pp_backward(&update->actor, &space->actor, &space->work, batch, &space->actor_pass, &learner);
}
#endif
