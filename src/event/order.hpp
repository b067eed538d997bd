#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

namespace nestgate::event {

// The positions of `size` items in the order that `compare(i, j)` gives them, equals in the order in which they stand.
// (std::stable_sort takes a buffer that libstdc++ 12 marks as deprecated.)
template <class Compare>
std::vector<std::uint32_t> stable_order(std::size_t size, Compare compare) {
  std::vector<std::uint32_t> order(size);
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::sort(order, [&compare](std::uint32_t i, std::uint32_t j) {
    int const said = compare(i, j);
    return said == 0 ? i < j : said < 0;
  });
  return order;
}

}  // namespace nestgate::event
