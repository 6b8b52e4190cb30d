"""Agents that learn from given transitions."""

import copy

import minidl
from minidl import nn
from minidl.nn import functional as F
from steps import helpers
from steps.data import integers, mlp, normal, uniform
from steps.example import Example, example


def transitions(i, size=8):
    """States, actions, rewards, next states, and whether the episode ended."""
    return (
        normal(i, size, 4),
        integers(i, 3, size, 1),
        normal(i, size, 1),
        normal(i + 70, size, 4),
        (uniform(i, size, 1) < 0.2).float(),
    )


@example
def dqn_with_soft_updates(compile):
    policy_net, target_net = mlp(), mlp()
    target_net.load_state_dict(policy_net.state_dict())
    optimizer = minidl.optim.AdamW(policy_net.parameters(), lr=1e-2, amsgrad=True)
    GAMMA, TAU = 0.99, 0.05

    @compile
    def optimize_model(state, action, reward, next_state, done):
        state_action_values = policy_net(state).gather(1, action)
        with minidl.no_grad():
            next_values = target_net(next_state).max(1).values.unsqueeze(1)
        expected = reward + GAMMA * next_values * (1 - done)
        loss = nn.SmoothL1Loss()(state_action_values, expected)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(policy_net.parameters(), 100)
        optimizer.step()
        helpers.soft_update(target_net, policy_net, TAU)
        return loss

    return Example(optimize_model, transitions, lambda: [policy_net, target_net, optimizer])


@example
def double_dqn_with_hard_updates_outside(compile):
    class Agent:
        def __init__(self):
            self.online, self.target = mlp(), mlp()
            self.sync()
            self.optimizer = minidl.optim.Adam(self.online.parameters(), lr=0.01)
            self.gamma = 0.9
            self.step = 0

        def sync(self):
            self.target.load_state_dict(self.online.state_dict())

        def learn(self, s, a, r, s2, done):
            best = self.online(s2).argmax(1, keepdim=True)
            target = (r + self.gamma * (1 - done) * self.target(s2).gather(1, best)).detach()
            loss = F.mse_loss(self.online(s).gather(1, a), target)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            return loss

    agent = Agent()

    def between(i):
        agent.step += 1
        if agent.step % 4 == 0:
            agent.sync()

    return Example(compile(agent.learn), transitions, lambda: agent, between=between)


@example
def dqn_whose_target_is_copied_every_few_calls_inside(compile):
    class Agent:
        def __init__(self):
            self.q = mlp()
            self.q_target = copy.deepcopy(self.q)
            self.optim = minidl.optim.SGD(self.q.parameters(), lr=0.05)
            self.n_updates = 0

        def update(self, s, a, r, s2, done):
            with minidl.no_grad():
                y = r + 0.99 * (1 - done) * self.q_target(s2).amax(1, keepdim=True)
            loss = F.smooth_l1_loss(self.q(s).gather(1, a), y)
            self.optim.zero_grad()
            loss.backward()
            self.optim.step()
            self.n_updates += 1
            if self.n_updates % 3 == 0:
                self.q_target.load_state_dict(self.q.state_dict())
            return loss

    agent = Agent()
    return Example(compile(agent.update), transitions, lambda: agent)


@example
def policy_gradient_with_given_returns(compile):
    policy = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.6), nn.ReLU(), nn.Linear(8, 3))
    optimizer = minidl.optim.Adam(policy.parameters(), lr=1e-2)
    eps = 1e-6

    @compile
    def finish_episode(states, actions, returns):
        returns = (returns - returns.mean()) / (returns.std() + eps)
        log_probs = policy(states).log_softmax(1).gather(1, actions)
        policy_loss = (-log_probs * returns).sum()
        optimizer.zero_grad()
        policy_loss.backward()
        optimizer.step()
        return policy_loss

    return Example(finish_episode, lambda i: transitions(i)[:3], lambda: [policy, optimizer])


@example
def actor_critic(compile):
    class ActorCritic(nn.Module):
        def __init__(self):
            super().__init__()
            self.affine = nn.Linear(4, 8)
            self.action_head = nn.Linear(8, 3)
            self.value_head = nn.Linear(8, 1)

        def forward(self, x):
            x = F.relu(self.affine(x))
            return F.softmax(self.action_head(x), dim=-1), self.value_head(x)

    model = ActorCritic()
    optimizer = minidl.optim.Adam(model.parameters(), lr=3e-2)
    entropy_coef = 0.01

    @compile
    def step(states, actions, returns):
        probs, values = model(states)
        log_probs = probs.log()
        advantage = returns - values.detach()
        policy_loss = -(log_probs.gather(1, actions) * advantage).mean()
        value_loss = F.smooth_l1_loss(values, returns)
        entropy = -(probs * log_probs).sum(1).mean()
        loss = policy_loss + value_loss - entropy_coef * entropy
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        return {"policy": policy_loss, "value": value_loss, "entropy": entropy}

    def between(i):
        nonlocal entropy_coef
        if i == 5:
            entropy_coef = 0.0

    return Example(step, lambda i: transitions(i)[:3], lambda: [model], between=between)


@example
def two_optimizers_for_actor_and_critic(compile):
    actor = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2), nn.Tanh())
    critic = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))
    actor_target, critic_target = copy.deepcopy(actor), copy.deepcopy(critic)
    actor_optimizer = minidl.optim.Adam(actor.parameters(), lr=1e-2)
    critic_optimizer = minidl.optim.Adam(critic.parameters(), lr=1e-2, weight_decay=1e-2)

    @compile
    def ddpg(state, action, reward, next_state, done):
        with minidl.no_grad():
            next_action = actor_target(next_state)
            target_q = critic_target(minidl.cat([next_state, next_action], 1))
            target_q = reward + (1 - done) * 0.99 * target_q
        critic_loss = F.mse_loss(critic(minidl.cat([state, action], 1)), target_q)
        critic_optimizer.zero_grad()
        critic_loss.backward()
        critic_optimizer.step()
        actor_loss = -critic(minidl.cat([state, actor(state)], 1)).mean()
        actor_optimizer.zero_grad()
        actor_loss.backward()
        actor_optimizer.step()
        helpers.soft_update(actor_target, actor, 0.1)
        helpers.soft_update(critic_target, critic, 0.1)
        return actor_loss, critic_loss

    def args(i):
        state, _, reward, next_state, done = transitions(i)
        return state, normal(i, 8, 2).tanh(), reward, next_state, done

    return Example(ddpg, args, lambda: [actor, critic, actor_target, critic_target])


@example
def ppo_epochs_over_minibatches(compile):
    policy, value = mlp(), nn.Linear(4, 1)
    optimizer = minidl.optim.Adam([*policy.parameters(), *value.parameters()], lr=0.01)
    hyper = {"clip": 0.2, "vf_coef": 0.5, "epochs": 2}

    @compile
    def update(states, actions, returns, old_log_probs):
        losses = []
        for _ in range(hyper["epochs"]):
            for part in (slice(0, 4), slice(4, 8)):
                log_probs = policy(states[part]).log_softmax(1).gather(1, actions[part])
                advantage = returns[part] - value(states[part]).detach()
                ratio = (log_probs - old_log_probs[part]).exp()
                clipped = ratio.clamp(1 - hyper["clip"], 1 + hyper["clip"])
                surrogate = minidl.minimum(ratio * advantage, clipped * advantage)
                value_loss = F.mse_loss(value(states[part]), returns[part])
                loss = -surrogate.mean() + hyper["vf_coef"] * value_loss
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
        return minidl.stack(losses).mean()

    def args(i):
        return (*transitions(i)[:3], -1.0 - uniform(i, 8, 1))

    def between(i):
        if i == 6:
            hyper["clip"] = 0.05

    return Example(update, args, lambda: [policy, value], between=between)


@example
def temperature_of_soft_actor_critic(compile):
    actor = mlp()
    log_alpha = minidl.zeros(1, requires_grad=True)
    optimizers = {
        "actor": minidl.optim.Adam(actor.parameters(), lr=0.01),
        "alpha": minidl.optim.Adam([log_alpha], lr=0.1),
    }
    target_entropy = -0.98 * -1.0986

    @compile
    def step(states, q_values):
        logits = actor(states)
        probs, log_probs = logits.softmax(1), logits.log_softmax(1)
        alpha = log_alpha.exp().detach()
        actor_loss = (probs * (alpha * log_probs - q_values)).sum(1).mean()
        optimizers["actor"].zero_grad()
        actor_loss.backward()
        optimizers["actor"].step()
        entropy = -(probs * log_probs).sum(1).detach()
        alpha_loss = (log_alpha * (entropy - target_entropy)).mean()
        optimizers["alpha"].zero_grad()
        alpha_loss.backward()
        optimizers["alpha"].step()
        return actor_loss, alpha_loss, alpha

    return Example(
        step, lambda i: (normal(i, 8, 4), normal(i, 8, 3)), lambda: [actor, log_alpha, optimizers]
    )
