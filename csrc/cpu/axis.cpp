#include "cpu/axis.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "cpu/problem.h"

namespace camfast::cpu {
namespace {

/// Cells farther than this many sigma from a pixel are left out: exp(-5.5^2 / 2) < 3e-7.
constexpr double kReach = 5.5;
/// The same as an exponent. What is fainter is left out one by one, too: products of three such weights would
/// be denormal numbers, which take a processor a hundred times as long.
constexpr double kFaintest = -0.5 * kReach * kReach;

struct Key {
    bool gaussian;
    std::int64_t in, out;
    double sigma, start, step;
    Gain gain;

    bool operator==(const Key& other) const noexcept {
        return gaussian == other.gaussian && in == other.in && out == other.out && sigma == other.sigma &&
               start == other.start && step == other.step && gain == other.gain;
    }
};

/// The axes that a thread used last: a small map takes less time than its exponentials.
class Memo {
public:
    template <class Make>
    std::shared_ptr<const Axis> get(const Key& key, Make make) {
        for (const Entry& entry : entries_)
            if (entry.axis && entry.key == key) return entry.axis;
        auto axis = std::make_shared<const Axis>(make());
        if (axis->group_weights.exact.size() + axis->line_weights.exact.size() <= kMaxWeights) {
            entries_[next_] = {key, axis};
            next_ = (next_ + 1) % entries_.size();
        }
        return axis;
    }

private:
    static constexpr std::size_t kMaxWeights = 1 << 16;
    struct Entry {
        Key key{};
        std::shared_ptr<const Axis> axis;
    };
    std::array<Entry, 12> entries_;
    std::size_t next_ = 0;
};

Memo& memo() {
    thread_local Memo result;
    return result;
}

Axis identity(std::int64_t size) {
    Axis axis;
    axis.in = axis.out = size;
    axis.identity = true;
    return axis;
}

constexpr std::size_t kRows = kGroupRows;

Axis make_linear(std::int64_t in, std::int64_t out) {
    if (in == out) return identity(in);
    Axis axis;
    axis.in = in;
    axis.out = out;
    axis.kind = LineKind::linear;
    axis.window = axis.line_window = 2;
    const auto pixels = static_cast<std::size_t>(out);
    axis.line_cells.resize(2 * pixels);
    std::vector<double> line_weights(2 * pixels), group_weights;
    const double scale = static_cast<double>(in) / static_cast<double>(out);
    for (std::size_t x = 0; x < pixels; ++x) {
        const double source = std::max((static_cast<double>(x) + 0.5) * scale - 0.5, 0.0);
        const std::int64_t low = std::min(static_cast<std::int64_t>(source), in - 1);
        const double fraction = source - static_cast<double>(low);
        const auto cell = static_cast<std::int32_t>(low);
        axis.line_cells[x] = cell;
        axis.line_cells[pixels + x] = static_cast<std::int32_t>(std::min(low + 1, in - 1));
        line_weights[x] = 1 - fraction;
        line_weights[pixels + x] = fraction;
        const bool same = x > 0 && axis.line_cells[x - 1] == cell;
        if (!same || x - static_cast<std::size_t>(axis.group_begin.back()) == kRows) {
            axis.group_begin.push_back(static_cast<std::int32_t>(x));
            axis.group_cells.push_back(cell);
            axis.group_cells.push_back(axis.line_cells[pixels + x]);
            group_weights.resize(group_weights.size() + 2 * kRows);
        }
        double* const weights = &group_weights[group_weights.size() - 2 * kRows];
        const auto row = x - static_cast<std::size_t>(axis.group_begin.back());
        weights[row] = 1 - fraction;
        weights[kRows + row] = fraction;
    }
    axis.group_begin.push_back(static_cast<std::int32_t>(out));
    axis.line_weights.assign(std::move(line_weights));
    axis.group_weights.assign(std::move(group_weights));
    return axis;
}

class GaussianBand {
public:
    GaussianBand(std::int64_t in, std::int64_t out, const GaussianAxis& axis, Gain gain)
        : in_(in), out_(out), axis_(axis), gain_(gain) {}

    Axis make() {
        compute();
        Axis axis;
        axis.in = in_;
        axis.out = out_;
        std::vector<double> weights;
        axis.window = gather(kGroupRows, axis.group_cells, weights);
        axis.group_weights.assign(std::move(weights));
        axis.line_window = gather(kBlockPixels, axis.line_cells, weights = {});
        axis.line_weights.assign(std::move(weights));
        // the groups' cells one by one, as a linear axis has them
        std::vector<std::int32_t> firsts(std::move(axis.group_cells));
        axis.group_cells = {};
        axis.group_cells.reserve(firsts.size() * static_cast<std::size_t>(axis.window));
        for (std::size_t group = 0; group < firsts.size(); ++group) {
            axis.group_begin.push_back(static_cast<std::int32_t>(group * kRows));
            for (std::int64_t t = 0; t < axis.window; ++t)
                axis.group_cells.push_back(firsts[group] + static_cast<std::int32_t>(t));
        }
        axis.group_begin.push_back(static_cast<std::int32_t>(out_));
        return axis;
    }

private:
    /// What each pixel takes from the cells around it, and which of them are within reach.
    void compute() {
        taps_ = taps();
        firsts_.resize(static_cast<std::size_t>(out_));
        reached_.resize(static_cast<std::size_t>(out_));
        weights_.resize(static_cast<std::size_t>(out_ * taps_));
        std::vector<double> mass(static_cast<std::size_t>(gain_ == Gain::mass ? in_ : 0));
        for (std::int64_t x = 0; x < out_; ++x) {
            const std::int64_t middle = nearest_cell(x);
            const std::int64_t first = std::clamp<std::int64_t>(middle - taps_ / 2, 0, in_ - taps_);
            firsts_[static_cast<std::size_t>(x)] = first;
            Range& reached = reached_[static_cast<std::size_t>(x)];
            reached = {in_, 0};
            // Exponents are taken relative to the largest of their sum, so that no sum is 0: far outside the
            // cells a pixel's average is the nearest cell, far outside the image a cell's mass is the nearest
            // pixel's.
            const double nearest = gain_ == Gain::average ? exponent(x, middle) : 0;
            double sum = 0;
            for (std::int64_t cell = first; cell < first + taps_; ++cell) {
                const double shift = gain_ == Gain::mass ? exponent(nearest_pixel(cell), cell) : nearest;
                const double power = exponent(x, cell) - shift;
                if (power < kFaintest) continue;
                const double weight = std::exp(power);
                reached = {std::min(reached.begin, cell), cell + 1};
                weight_of(x, cell) = weight;
                sum += weight;
                if (gain_ == Gain::mass) mass[static_cast<std::size_t>(cell)] += weight;
            }
            if (reached.size() < 1) reached = {middle, middle + 1};
            for (std::int64_t cell = first; gain_ == Gain::average && cell < first + taps_; ++cell)
                weight_of(x, cell) /= sum;
        }
        for (std::int64_t x = 0; gain_ == Gain::mass && x < out_; ++x)
            for (std::int64_t t = 0; t < taps_; ++t) {
                const std::int64_t cell = firsts_[static_cast<std::size_t>(x)] + t;
                weight_of(x, cell) /= mass[static_cast<std::size_t>(cell)];
            }
    }

    double& weight_of(std::int64_t x, std::int64_t cell) {
        return weights_[static_cast<std::size_t>(x * taps_ + cell - firsts_[static_cast<std::size_t>(x)])];
    }

    /// `size` pixels at a time over the cells that any of them reaches: the first cell of each such block,
    /// the weights by block, then cell, then pixel, and the number of cells, which is returned.
    std::int64_t gather(std::int64_t size, std::vector<std::int32_t>& cells, std::vector<double>& weights) {
        std::vector<Range> blocks(static_cast<std::size_t>(ceil_div(out_, size)), Range{in_, 0});
        std::int64_t window = 0;
        for (std::int64_t x = 0; x < out_; ++x) {
            Range& block = blocks[static_cast<std::size_t>(x / size)];
            const Range reached = reached_[static_cast<std::size_t>(x)];
            block = {std::min(block.begin, reached.begin), std::max(block.end, reached.end)};
            window = std::max(window, block.size());
        }
        cells.resize(blocks.size());
        weights.assign(blocks.size() * static_cast<std::size_t>(window * size), 0);
        for (std::int64_t x = 0; x < out_; ++x) {
            const auto block = static_cast<std::size_t>(x / size);
            const std::int64_t first = std::min(blocks[block].begin, in_ - window);
            const Range reached = reached_[static_cast<std::size_t>(x)];
            cells[block] = static_cast<std::int32_t>(first);
            for (std::int64_t cell = reached.begin; cell < reached.end; ++cell)
                weights[static_cast<std::size_t>((x / size * window + cell - first) * size + x % size)] =
                    weight_of(x, cell);
        }
        return window;
    }

    double centre(std::int64_t cell) const { return axis_.start + static_cast<double>(cell) * axis_.step; }

    double exponent(std::int64_t x, std::int64_t cell) const {
        const double distance = (static_cast<double>(x) - centre(cell)) / axis_.sigma;
        return -0.5 * distance * distance;
    }

    static std::int64_t nearest(double position, std::int64_t size) {
        return static_cast<std::int64_t>(
            std::clamp(std::round(position), 0.0, static_cast<double>(size - 1)));
    }
    std::int64_t nearest_cell(std::int64_t x) const {
        return nearest((static_cast<double>(x) - axis_.start) / axis_.step, in_);
    }
    std::int64_t nearest_pixel(std::int64_t cell) const { return nearest(centre(cell), out_); }

    /// Cells within reach of a pixel; all of them where one so far outside the image has to keep its mass.
    std::int64_t taps() const {
        const double reach = kReach * axis_.sigma;
        const bool outside = centre(0) < -reach || centre(in_ - 1) > static_cast<double>(out_ - 1) + reach;
        if (gain_ == Gain::mass && outside) return in_;
        const double wanted = 2 * std::floor(reach / axis_.step) + 3;
        return wanted < static_cast<double>(in_) ? static_cast<std::int64_t>(wanted) : in_;
    }

    std::int64_t in_, out_;
    const GaussianAxis& axis_;
    Gain gain_;
    std::int64_t taps_ = 0;
    std::vector<std::int64_t> firsts_;
    std::vector<Range> reached_;
    std::vector<double> weights_;
};

}  // namespace

std::shared_ptr<const Axis> linear_axis(std::int64_t in, std::int64_t out) {
    return memo().get({false, in, out, 0, 0, 0, Gain::spray}, [&] { return make_linear(in, out); });
}

std::shared_ptr<const Axis> gaussian_axis(std::int64_t in, std::int64_t out, const GaussianAxis& axis,
                                          Gain gain) {
    if (!(axis.sigma > 0)) return std::make_shared<const Axis>(identity(in));
    return memo().get({true, in, out, axis.sigma, axis.start, axis.step, gain},
                      [&] { return GaussianBand(in, out, axis, gain).make(); });
}

}  // namespace camfast::cpu
