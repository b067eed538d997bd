#include <exception>
#include <iostream>

#include "nestgate/app/cli.hpp"

int main(int argc, char** argv) {
  using namespace nestgate::app;
  try {
    return run_command_line(argc, argv, take_environment(), {std::cin, std::cout, std::cerr}, serve);
  } catch (std::exception const& error) {
    std::cerr << "nestgate: " << error.what() << '\n';
    return exit_failed;
  }
}
