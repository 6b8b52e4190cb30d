// Augmentation, one block a picture: step by step, to the bit what the reference does.
//
// A picture lies in shared memory, or in global memory if it is too large, one 32-bit word a
// pixel, red lowest. A step that moves pixels makes a second picture of it; in the end bytes
// become floats and go where they belong in one pass.
#include "reduce.cuh"

typedef unsigned Word;

const int THREADS = 256;

// As in program.py: opcodes, adjustments, padding modes and the columns of a row.
enum Opcode {
    FLIP_HORIZONTAL, FLIP_VERTICAL, ROTATE_NEAREST, ROTATE_BILINEAR, WINDOW, JITTER, TO_FLOAT,
    ERASE, NORMALIZE
};
enum Adjustment { NO_ADJUSTMENT = -1, BRIGHTNESS, CONTRAST, SATURATION, HUE };
enum Padding { CONSTANT, EDGE, REFLECT, SYMMETRIC };
enum Column { OPCODE, COLUMN, HEIGHT, WIDTH, OPTION, FIRST, SECOND = 8, ROW = 11 };

// A number whose products are rounded before they are added up, as on the CPU. nvcc would fuse
// the two, and where values are cut down to whole numbers, that now and then gives another one.
struct Double {
    double v;

    __device__ Double(double v) : v(v) {}
    friend __device__ Double operator+(Double a, Double b) { return __dadd_rn(a.v, b.v); }
    friend __device__ Double operator-(Double a, Double b) { return __dsub_rn(a.v, b.v); }
    friend __device__ Double operator-(Double a) { return -a.v; }
    friend __device__ Double operator*(Double a, Double b) { return __dmul_rn(a.v, b.v); }
    friend __device__ Double operator/(Double a, double b) { return a.v / b; }
};

__device__ Word packed(int red, int green, int blue) { return red | green << 8 | blue << 16; }

__device__ int byte_of(Word pixel, int channel) { return pixel >> 8 * channel & 255; }

__device__ Word colour_of(const double* row) {
    return packed(int(row[FIRST]), int(row[FIRST + 1]), int(row[FIRST + 2]));
}

// The block's picture. All threads call its functions.
struct Picture {
    Word *here, *there;
    int height, width, channels;

    __device__ Word at(int y, int x) const { return here[y * width + x]; }

    // Replaces every pixel by change(pixel).
    template <class Change>
    __device__ void recolour(const Change& change) {
        for (int i = threadIdx.x; i < height * width; i += THREADS) here[i] = change(here[i]);
    }

    // Makes a picture of another size, whose pixels are find(y, x).
    template <class Find>
    __device__ void replace(int new_height, int new_width, const Find& find) {
        for (int i = threadIdx.x; i < new_height * new_width; i += THREADS) {
            there[i] = find(i / new_width, i % new_width);
        }
        Word* made = there;
        there = here;
        here = made;
        height = new_height;
        width = new_width;
    }
};

// ------------------------------------------------------------------------- where pixels go

__device__ void flip_horizontal(Picture& p, const double* values) {
    if (!values[0]) return;
    p.replace(p.height, p.width, [&](int y, int x) { return p.at(y, p.width - 1 - x); });
}

__device__ void flip_vertical(Picture& p, const double* values) {
    if (!values[0]) return;
    p.replace(p.height, p.width, [&](int y, int x) { return p.at(p.height - 1 - y, x); });
}

// The way back from a rotated pixel, about the picture's centre.
struct Rotation {
    Double cosine, sine, dx, dy;

    __device__ Rotation(const Picture& p, const double* values)
        : cosine(values[0]), sine(values[1]), dx(0), dy(0) {
        Double width = p.width, height = p.height;
        dx = width / 2 - cosine * width / 2 - sine * height / 2;
        dy = height / 2 + sine * width / 2 - cosine * height / 2;
    }
};

__device__ long long fixed(Double value) { return (long long)floor((value * 65536 + 0.5).v); }

// Steps through the picture in 16.16 fixed point, as Pillow does.
__device__ void rotate_nearest(Picture& p, const double* row, const double* values) {
    Rotation r(p, values);
    Word colour = colour_of(row);
    long long start_x = fixed(r.dx + r.cosine * 0.5 + r.sine * 0.5);
    long long start_y = fixed(r.dy - r.sine * 0.5 + r.cosine * 0.5);
    long long right = fixed(r.cosine), down = fixed(r.sine), up = fixed(-r.sine);
    p.replace(p.height, p.width, [&](int y, int x) {
        long long column = (start_x + x * right + y * down) >> 16;
        long long line = (start_y + x * up + y * right) >> 16;
        bool inside = 0 <= column && column < p.width && 0 <= line && line < p.height;
        return inside ? p.at(int(line), int(column)) : colour;
    });
}

__device__ Double between(Double first, Double second, Double share) {
    return first + (second - first) * share;
}

// The colour between the four pixels around (x, y).
__device__ Word mixed(const Picture& p, Double y, Double x) {
    int left = int(floor(x.v)), top = int(floor(y.v));
    int x0 = max(left, 0), x1 = min(left + 1, p.width - 1);
    int y0 = max(top, 0), y1 = min(top + 1, p.height - 1);
    Double right_share = x - left, bottom_share = y - top;
    Word above0 = p.at(y0, x0), above1 = p.at(y0, x1);
    Word below0 = p.at(y1, x0), below1 = p.at(y1, x1);
    Word result = 0;
    for (int c = 0; c < 3; c++) {
        Double above = between(byte_of(above0, c), byte_of(above1, c), right_share);
        Double below = between(byte_of(below0, c), byte_of(below1, c), right_share);
        result |= Word(int(between(above, below, bottom_share).v)) << 8 * c;
    }
    return result;
}

__device__ void rotate_bilinear(Picture& p, const double* row, const double* values) {
    Rotation r(p, values);
    Word colour = colour_of(row);
    p.replace(p.height, p.width, [&](int y, int x) {
        Double from_x = r.cosine * (x + 0.5) + r.sine * (y + 0.5) + r.dx;
        Double from_y = -r.sine * (x + 0.5) + r.cosine * (y + 0.5) + r.dy;
        bool inside = 0 <= from_x.v && from_x.v < p.width && 0 <= from_y.v && from_y.v < p.height;
        return inside ? mixed(p, from_y - 0.5, from_x - 0.5) : colour;
    });
}

__device__ int wrapped(int position, int period) {
    int rest = position % period;
    return rest < 0 ? rest + period : rest;
}

// Which row (or column) is seen at a position; -1 where it is the colour outside.
__device__ int source(int position, int size, int mode) {
    if (0 <= position && position < size) return position;
    if (mode == CONSTANT) return -1;
    if (mode == REFLECT && size > 1) {
        return size - 1 - abs(wrapped(position, 2 * (size - 1)) - (size - 1));
    }
    if (mode == SYMMETRIC) {
        int folded = wrapped(position, 2 * size);
        return min(folded, 2 * size - 1 - folded);
    }
    return min(max(position, 0), size - 1);
}

__device__ void window(Picture& p, const double* row, const double* values) {
    int top = int(values[0]), left = int(values[1]), mode = int(row[OPTION]);
    Word colour = colour_of(row);
    p.replace(int(row[HEIGHT]), int(row[WIDTH]), [&](int y, int x) {
        int line = source(top + y, p.height, mode), column = source(left + x, p.width, mode);
        return line < 0 || column < 0 ? colour : p.at(line, column);
    });
}

// ------------------------------------------------------------------------ what colours are

// first + factor * (second - first), cut down to a whole number and to 0..255
__device__ int blend(int first, int second, float factor) {
    float value = __fadd_rn(float(first), __fmul_rn(factor, float(second - first)));
    return int(fminf(fmaxf(value, 0.f), 255.f));
}

__device__ Word blend_pixel(int grey, Word pixel, float factor) {
    return packed(blend(grey, byte_of(pixel, 0), factor), blend(grey, byte_of(pixel, 1), factor),
                  blend(grey, byte_of(pixel, 2), factor));
}

// Luma of ITU-R 601-2 in 16-bit fixed point.
__device__ int grey_of(Word pixel, int channels) {
    int red = byte_of(pixel, 0), green = byte_of(pixel, 1), blue = byte_of(pixel, 2);
    return channels == 1 ? red : (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
}

__device__ int mean_grey(const Picture& p) {
    long long total = 0;
    int pixels = p.height * p.width;
    for (int i = threadIdx.x; i < pixels; i += THREADS) total += grey_of(p.here[i], p.channels);
    return int(double(block_sum(total)) / pixels + 0.5);
}

// A colour's hue, a byte; the roundings to float are Pillow's.
__device__ int hue_of(int red, int green, int blue, int top, int spread) {
    if (spread == 0) return 0;
    double r = float(top - red) / float(spread);
    double g = float(top - green) / float(spread);
    double b = float(top - blue) / float(spread);
    float sector = red == top ? b - g : green == top ? 2.0 + r - b : 4.0 + g - r;
    double turn = sector / 6.0 + 1.0;
    return int(float(turn - floor(turn)) * 255.0);
}

__device__ int rounded(Double value) { return int(floor((value + 0.5).v)); }

__device__ Word from_hsv(int hue, int saturation, int value) {
    double turn = hue * 6.0 / 255.0;
    int sector = int(floor(turn));
    Double rest = double(float(turn - sector)), share = double(float(saturation / 255.0));
    int low = rounded(Double(value) * (Double(1) - share));
    int falling = rounded(Double(value) * (Double(1) - share * rest));
    int rising = rounded(Double(value) * (Double(1) - share * (Double(1) - rest)));
    switch (sector % 6) {
        case 0: return packed(value, rising, low);
        case 1: return packed(falling, value, low);
        case 2: return packed(low, value, rising);
        case 3: return packed(low, falling, value);
        case 4: return packed(rising, low, value);
        default: return packed(value, low, falling);
    }
}

// The colour with its hue moved on by shift.
__device__ Word turned(Word pixel, int shift) {
    int red = byte_of(pixel, 0), green = byte_of(pixel, 1), blue = byte_of(pixel, 2);
    int top = max(max(red, green), blue), spread = top - min(min(red, green), blue);
    int hue = (hue_of(red, green, blue, top, spread) + shift) & 255;
    int saturation = int(float(spread) / float(max(top, 1)) * 255.0);
    return from_hsv(hue, saturation, top);
}

__device__ void jitter(Picture& p, const double* values) {
    for (int turn = 0; turn < 4; turn++) {
        int kind = int(values[turn]);
        if (kind == NO_ADJUSTMENT) continue;
        float factor = float(values[4 + kind]);
        if (kind == BRIGHTNESS || kind == CONTRAST) {
            int grey = kind == CONTRAST ? mean_grey(p) : 0;
            p.recolour([&](Word pixel) { return blend_pixel(grey, pixel, factor); });
        } else if (kind == SATURATION) {
            p.recolour([&](Word pixel) {
                return blend_pixel(grey_of(pixel, p.channels), pixel, factor);
            });
        } else if (p.channels == 3) {
            int shift = int(values[4 + HUE] * 255);
            p.recolour([&](Word pixel) { return turned(pixel, shift); });
        }
    }
}

// -------------------------------------------------------------------------------- pictures

__device__ void run(Picture& p, const double* row, const double* values) {
    switch (int(row[OPCODE])) {
        case FLIP_HORIZONTAL: return flip_horizontal(p, values);
        case FLIP_VERTICAL: return flip_vertical(p, values);
        case ROTATE_NEAREST: return rotate_nearest(p, row, values);
        case ROTATE_BILINEAR: return rotate_bilinear(p, row, values);
        case WINDOW: return window(p, row, values);
        case JITTER: return jitter(p, values);
    }
}

// A float, of pixel (y, x) in one channel, after one of the steps on floats.
__device__ float after(const double* row, const double* values, int channel, int y, int x,
                       float value) {
    float first = float(row[FIRST + channel]);
    if (int(row[OPCODE]) == NORMALIZE) return (value - first) / float(row[SECOND + channel]);
    int down = y - int(values[0]), right = x - int(values[1]);
    bool erased = 0 <= down && down < int(values[2]) && 0 <= right && right < int(values[3]);
    return erased ? first : value;
}

struct Sizes {
    long long pictures;                       // how many there are,
    int height, width, channels;              // and their size
    int count, steps, parameters, scratch;    // pictures to make, rows, columns, words each way
};

__device__ void read(Picture& p, const unsigned char* bytes) {
    for (int i = threadIdx.x; i < p.height * p.width; i += THREADS) {
        const unsigned char* pixel = bytes + i * (long long)p.channels;
        p.here[i] = p.channels == 1 ? Word(pixel[0]) : packed(pixel[0], pixel[1], pixel[2]);
    }
}

__device__ void write(const Picture& p, const double* program, int begin, int end,
                      const double* values, const float* table, float* out) {
    int pixels = p.height * p.width;
    for (int i = threadIdx.x; i < pixels; i += THREADS) {
        for (int c = 0; c < p.channels; c++) {
            float value = table[256 * c + byte_of(p.here[i], c)];
            for (int step = begin; step < end; step++) {
                const double* row = program + step * ROW;
                value = after(row, values + int(row[COLUMN]), c, i / p.width, i % p.width, value);
            }
            out[c * (long long)pixels + i] = value;
        }
    }
}

// scratch is null if the picture fits into shared memory. A picture that does not exist comes
// out as NaN.
extern "C" __global__ void __launch_bounds__(THREADS)
augment(const unsigned char* __restrict__ pictures, const long long* __restrict__ indices,
        const double* __restrict__ program, const double* __restrict__ parameters,
        const float* __restrict__ table, float* out, Word* scratch, Sizes sizes) {
    extern __shared__ Word shared[];
    Word* words = scratch ? scratch + 2LL * sizes.scratch * blockIdx.x : shared;
    const double* last = program + (sizes.steps - 1) * ROW;
    const int out_size = sizes.channels * int(last[HEIGHT]) * int(last[WIDTH]);
    const long long size = sizes.channels * (long long)sizes.height * sizes.width;
    for (int i = blockIdx.x; i < sizes.count; i += gridDim.x) {
        float* made = out + i * (long long)out_size;
        if (indices[i] < 0 || indices[i] >= sizes.pictures) {
            for (int j = threadIdx.x; j < out_size; j += THREADS) made[j] = nanf("");
            continue;
        }
        const double* values = parameters + i * (long long)sizes.parameters;
        Picture p{words, words + sizes.scratch, sizes.height, sizes.width, sizes.channels};
        read(p, pictures + indices[i] * size);
        __syncthreads();
        int step = 0;
        for (; int(program[step * ROW]) != TO_FLOAT; step++) {
            const double* row = program + step * ROW;
            run(p, row, values + int(row[COLUMN]));
            __syncthreads();
        }
        write(p, program, step + 1, sizes.steps, values, table, made);
        // no barrier: the words that a thread reads here are those that it fills next
    }
}
