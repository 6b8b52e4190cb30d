"""Autoencoders, adversaries, diffusion, flows."""

import itertools
import math

import minidl
from minidl import nn
from minidl.nn import functional as F
from steps import helpers
from steps.data import integers, normal, pictures, uniform
from steps.example import Example, example


def points(i):
    return (normal(i, 8, 4),)


class VAE(nn.Module):
    """As in PyTorch's examples."""

    def __init__(self, width=4, hidden=8, latent=2):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc21, self.fc22 = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.fc3, self.fc4 = nn.Linear(latent, hidden), nn.Linear(hidden, width)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = (0.5 * logvar).exp()
        return mu + minidl.randn_like(std) * std

    def decode(self, z):
        return self.fc4(F.relu(self.fc3(z))).sigmoid()

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


@example
def autoencoder_with_noise(compile):
    encoder = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.ReLU())
    decoder = nn.Sequential(
        nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=1), nn.Sigmoid()
    )
    optimizer = minidl.optim.Adam(itertools.chain(encoder.parameters(), decoder.parameters()))

    @compile
    def step(img):
        noisy = img + 0.2 * minidl.randn(*img.shape)
        output = decoder(encoder(noisy))
        loss = F.mse_loss(output, img)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return Example(step, lambda i: (uniform(i, 3, 2, 6, 6),), lambda: [encoder, decoder])


@example
def variational_autoencoder(compile):
    model = VAE()
    optimizer = minidl.optim.Adam(model.parameters(), lr=1e-2)

    def loss_function(recon_x, x, mu, logvar):
        bce = F.binary_cross_entropy(recon_x, x, reduction="sum")
        kld = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum()
        return bce + kld

    @compile
    def step(data):
        optimizer.zero_grad()
        recon_batch, mu, logvar = model(data)
        loss = loss_function(recon_batch, data, mu, logvar)
        loss.backward()
        optimizer.step()
        return loss

    return Example(step, lambda i: (uniform(i, 8, 4),), lambda: [model, optimizer])


@example
def beta_vae_with_annealing(compile):
    class Annealed:
        def __init__(self):
            self.vae = VAE()
            self.optimizer = minidl.optim.Adam(self.vae.parameters(), lr=1e-2)
            self.num_iter = 0
            self.c_max, self.c_stop = 5.0, 8

        def step(self, x):
            self.num_iter += 1
            recon, mu, logvar = self.vae(x)
            kld = (-0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)).mean()
            capacity = min(self.c_max, self.c_max / self.c_stop * self.num_iter)
            loss = F.mse_loss(recon, x) + 0.1 * (kld - capacity).abs()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            return loss, kld

    annealed = Annealed()
    return Example(compile(annealed.step), lambda i: (uniform(i, 8, 4),), lambda: annealed)


def adversaries():
    generator = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 4))
    discriminator = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
    return generator, discriminator


@example
def gan_in_one_step(compile):
    generator, discriminator = adversaries()
    criterion = nn.BCEWithLogitsLoss()
    optimizer_g = minidl.optim.Adam(generator.parameters(), lr=0.01, betas=(0.5, 0.999))
    optimizer_d = minidl.optim.Adam(discriminator.parameters(), lr=0.01, betas=(0.5, 0.999))
    valid, fake = minidl.ones(8, 1), minidl.zeros(8, 1)

    @compile
    def step(real):
        z = minidl.randn(real.shape[0], 2)
        gen = generator(z)

        optimizer_d.zero_grad()
        real_loss = criterion(discriminator(real), valid)
        fake_loss = criterion(discriminator(gen.detach()), fake)
        d_loss = (real_loss + fake_loss) / 2
        d_loss.backward()
        optimizer_d.step()

        optimizer_g.zero_grad()
        g_loss = criterion(discriminator(gen), valid)
        g_loss.backward()
        optimizer_g.step()
        return d_loss, g_loss

    return Example(step, points, lambda: [generator, discriminator, optimizer_g, optimizer_d])


@example
def gan_in_two_steps_with_toggled_gradients(compile):
    generator, discriminator = adversaries()
    g_optim = minidl.optim.SGD(generator.parameters(), lr=0.05)
    d_optim = minidl.optim.SGD(discriminator.parameters(), lr=0.05)

    @compile
    def train_d(real):
        helpers.toggle_grad(generator, False)
        helpers.toggle_grad(discriminator, True)
        fake = generator(minidl.randn(8, 2))
        loss = F.softplus(discriminator(fake)).mean() + F.softplus(-discriminator(real)).mean()
        discriminator.zero_grad()
        loss.backward()
        d_optim.step()
        return loss

    @compile
    def train_g():
        helpers.toggle_grad(generator, True)
        helpers.toggle_grad(discriminator, False)
        loss = F.softplus(-discriminator(generator(minidl.randn(8, 2)))).mean()
        generator.zero_grad()
        loss.backward()
        g_optim.step()
        return loss

    def step(real, i):
        d_loss = train_d(real)
        return d_loss, train_g() if i % 2 else None

    return Example(step, lambda i: (*points(i), i), lambda: [generator, discriminator], calls=12)


@example
def wasserstein_gan_with_gradient_penalty(compile):
    generator, critic = adversaries()
    helpers.toggle_grad(generator, False)
    optimizer = minidl.optim.Adam(critic.parameters(), lr=0.01, betas=(0.0, 0.9))
    lambda_gp = 10

    def gradient_penalty(real, fake):
        alpha = minidl.rand(real.size(0), 1)
        interpolates = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
        d_interpolates = critic(interpolates)
        (gradients,) = minidl.autograd.grad(
            outputs=d_interpolates,
            inputs=interpolates,
            grad_outputs=minidl.ones_like(d_interpolates),
            create_graph=True,
            retain_graph=True,
        )
        return ((gradients.norm(p=2, dim=1) - 1) ** 2).mean()

    @compile
    def step(real):
        fake = generator(minidl.randn(real.size(0), 2)).detach()
        optimizer.zero_grad()
        penalty = gradient_penalty(real, fake)
        loss = -critic(real).mean() + critic(fake).mean() + lambda_gp * penalty
        loss.backward()
        optimizer.step()
        return loss, penalty

    return Example(step, points, lambda: [critic, optimizer])


@example
def wasserstein_gan_with_clipped_weights(compile):
    generator, critic = adversaries()
    opt_g = minidl.optim.SGD(generator.parameters(), lr=0.01)
    opt_c = minidl.optim.SGD(critic.parameters(), lr=0.01)

    @compile
    def train_critic(real):
        opt_c.zero_grad()
        with minidl.no_grad():
            fake = generator(minidl.randn(8, 2))
        loss = critic(fake).mean() - critic(real).mean()
        loss.backward()
        opt_c.step()
        for p in critic.parameters():
            p.data.clamp_(-0.1, 0.1)
        return loss

    @compile
    def train_generator():
        opt_g.zero_grad()
        loss = -critic(generator(minidl.randn(8, 2))).mean()
        loss.backward()
        opt_g.step()
        return loss

    def step(real, i):
        loss = train_critic(real)
        return (loss, train_generator()) if i % 3 == 2 else (loss,)

    return Example(step, lambda i: (*points(i), i), lambda: [generator, critic], calls=12)


@example
def denoising_diffusion(compile):
    class Denoiser(nn.Module):
        def __init__(self, width=4, hidden=16):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(width + 4, hidden), nn.SiLU())
            self.out = nn.Linear(hidden, width)

        def embed(self, t, half=2):
            rates = (-math.log(10000.0) * minidl.arange(half, dtype=minidl.float32) / half).exp()
            angles = t.float()[:, None] * rates[None]
            return minidl.cat([angles.sin(), angles.cos()], dim=-1)

        def forward(self, x, t):
            return self.out(self.net(minidl.cat([x, self.embed(t)], dim=1)))

    steps = 20
    betas = minidl.linspace(1e-3, 0.2, steps)
    alphas_cumprod = (1.0 - betas).log().cumsum(0).exp()
    model = Denoiser()
    optimizer = minidl.optim.AdamW(model.parameters(), lr=0.01)

    def extract(values, t, x_shape):
        return values.gather(0, t).reshape(t.shape[0], *((1,) * (len(x_shape) - 1)))

    @compile
    def step(x_start):
        t = minidl.randint(0, steps, (x_start.shape[0],))
        noise = minidl.randn_like(x_start)
        a = extract(alphas_cumprod, t, x_start.shape)
        x_noisy = a.sqrt() * x_start + (1 - a).sqrt() * noise
        loss = F.smooth_l1_loss(noise, model(x_noisy, t))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return Example(step, points, lambda: [model, optimizer])


@example
def sampling_from_diffusion(compile):
    denoiser = nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 4))
    betas = [0.01 * (k + 1) for k in range(4)]

    @compile
    @minidl.no_grad()
    def sample(x):
        for t in reversed(range(len(betas))):
            alpha = 1 - betas[t]
            x = (x - betas[t] / math.sqrt(1 - alpha**2) * denoiser(x)) / math.sqrt(alpha)
            if t > 0:
                x = x + math.sqrt(betas[t]) * minidl.randn_like(x)
        return x

    def between(i):
        if i == 6:
            betas[1] = 0.1

    return Example(sample, points, lambda: [denoiser, betas], between=between)


@example
def flow_of_coupling_layers(compile):
    class Coupling(nn.Module):
        def __init__(self, swap):
            super().__init__()
            self.swap = swap
            self.net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 4))

        def forward(self, x):
            a, b = x.chunk(2, dim=1)
            a, b = (b, a) if self.swap else (a, b)
            log_scale, shift = self.net(a).chunk(2, dim=1)
            log_scale = log_scale.tanh()
            b = b * log_scale.exp() + shift
            return minidl.cat((b, a) if self.swap else (a, b), dim=1), log_scale.sum(1)

    flow = nn.ModuleList(Coupling(k % 2 == 1) for k in range(3))
    optimizer = minidl.optim.Adam(flow.parameters(), lr=0.01)

    @compile
    def step(x):
        z, log_det = x, 0
        for layer in flow:
            z, part = layer(z)
            log_det = log_det + part
        log_prob = -0.5 * (z**2 + math.log(2 * math.pi)).sum(1) + log_det
        loss = -log_prob.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return Example(step, points, lambda: [flow])


@example
def style_transfer_of_a_picture(compile):
    features = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    helpers.toggle_grad(features, False)
    image = minidl.rand(1, 2, 8, 8).requires_grad_(True)
    optimizer = minidl.optim.Adam([image], lr=0.05)

    def gram_matrix(y):
        b, ch, h, w = y.size()
        flat = y.view(b, ch, w * h)
        return flat.bmm(flat.transpose(1, 2)) / (ch * h * w)

    style = gram_matrix(features(pictures(3, 1, 2, 8)[0]))
    content = features(pictures(4, 1, 2, 8)[0])
    weights = {"style": 1e3, "content": 1.0, "tv": 1e-2}

    @compile
    def step():
        y = features(image)
        variation = (image[..., 1:] - image[..., :-1]).abs().mean()
        loss = weights["content"] * F.mse_loss(y, content)
        loss = loss + weights["style"] * F.mse_loss(gram_matrix(y), style)
        loss = loss + weights["tv"] * variation
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with minidl.no_grad():
            image.clamp_(0, 1)
        return loss

    def between(i):
        if i == 7:
            weights["tv"] = 1.0

    return Example(step, lambda i: (), lambda: [image, optimizer], between=between)


@example
def vector_quantized_autoencoder(compile):
    encoder, decoder = nn.Linear(4, 2), nn.Linear(2, 4)
    codebook = nn.Parameter(minidl.randn(5, 2))
    parameters = [*encoder.parameters(), *decoder.parameters(), codebook]
    optimizer = minidl.optim.Adam(parameters, lr=0.01)

    @compile
    def step(x):
        z = encoder(x)
        distances = (z.unsqueeze(1) - codebook.unsqueeze(0)).square().sum(2)
        indices = distances.argmin(1)
        quantized = codebook[indices]
        commitment = F.mse_loss(quantized.detach(), z)
        vq = F.mse_loss(quantized, z.detach())
        straight_through = z + (quantized - z).detach()
        loss = F.mse_loss(decoder(straight_through), x) + vq + 0.25 * commitment
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss, indices

    return Example(step, points, lambda: [encoder, decoder, codebook])


@example
def masked_autoencoder(compile):
    encoder = nn.Sequential(nn.Linear(3, 8), nn.GELU())
    decoder = nn.Linear(8, 3)
    mask_token = nn.Parameter(minidl.zeros(1, 1, 8))
    parameters = [*encoder.parameters(), *decoder.parameters(), mask_token]
    optimizer = minidl.optim.AdamW(parameters, lr=0.01)
    kept = 2

    @compile
    def step(patches):
        b, n, _ = patches.shape
        shuffle = minidl.rand(b, n).argsort(dim=1)
        restore = shuffle.argsort(dim=1)
        index = shuffle[:, :kept].unsqueeze(-1).expand(b, kept, 3)
        hidden = encoder(patches.gather(1, index))
        hidden = minidl.cat([hidden, mask_token.expand(b, n - kept, 8)], dim=1)
        hidden = hidden.gather(1, restore.unsqueeze(-1).expand(b, n, 8))
        mask = (restore >= kept).float()
        loss = ((decoder(hidden) - patches) ** 2).mean(-1)
        loss = (loss * mask).sum() / mask.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return Example(step, lambda i: (normal(i, 3, 5, 3),), lambda: [encoder, decoder, mask_token])


@example
def conditional_generation_by_labels(compile):
    label_embedding = nn.Parameter(minidl.randn(3, 2))
    generator = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    optimizer = minidl.optim.Adam([label_embedding, *generator.parameters()], lr=0.01)

    @compile
    def step(target, labels):
        noise = minidl.randn(labels.size(0), 2)
        sample = generator(minidl.cat((label_embedding[labels], noise), -1))
        loss = F.l1_loss(sample, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return sample, loss

    return Example(
        step, lambda i: (*points(i), integers(i, 3, 8)), lambda: [label_embedding, generator]
    )
